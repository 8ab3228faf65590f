"""The one door to yara-python: compiles packs once, scans bytes with externals, names what it found."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, cast

import yara

from rules.rule import DISPOSITIONS, THREATS, Level, Rule, RuleDisposition, RuleError

EXTERNALS: Final[Mapping[str, str | int]] = {
    "filename": "",  # the part's name as the reader would see it, percent and RFC 2231 decoding done
    "extension": "",  # lower case, without the dot
    "media_type": "",  # as declared, lower case
    "detected_type": "",  # as the bytes say
    "part": "",  # header | body | attachment
    "depth": 0,  # 0 = in the message, 1 = in an archive or document in it, ...
    "ambiguous": 0,  # 1 = the readings of the message differ
    "encrypted_beside": 0,  # how many other parts of the message only a password opens
}
"""What a mail rule may ask beside the bytes. Names that are not listed are refused in a rule and ignored in a scan."""

NEEDED_METAS: Final = ("id", "version", "title_en", "title_ar", "disposition", "threat")
DEFAULT_TIMEOUT: Final = 10  # seconds for one part; a mail's own rules take milliseconds

_LEVEL_OF: Final[Mapping[str, Level]] = {"tag": "low", "hold": "high", "reject": "high"}
_RULE_LINE = re.compile(r"^[ \t]*(?:(?:private|global)[ \t]+)*rule[ \t]+(\w+)", re.MULTILINE)
_AT_LINE = re.compile(r"\bline (\d+): (.*)")

yara.set_config(max_match_data=0)  # a hit names strings, it never carries what was in the mail


class ScanTimeout(TimeoutError):  # noqa: N818 - the name says what happened, as DatabaseDamaged does
    """A scan took longer than its seconds."""


@dataclass(frozen=True, slots=True)
class Hit:
    """One rule that fits. `strings` are identifiers such as "$auto", never contents."""

    rule: str
    version: str
    disposition: RuleDisposition
    threat: str
    title: Mapping[str, str]
    strings: tuple[str, ...]


class YaraRules:
    """Compiled packs. Thread-safe: each scan has a scanner of its own, and yara lets go of the GIL."""

    def __init__(self, files: Mapping[str, bytes], version: str) -> None:
        """`files`: pack name (a path) to source. Raises RuleError(file, line, problem)."""
        self.version = version
        self.rules: tuple[Rule, ...] = tuple(rule for name in sorted(files) for rule in _read_pack(name, files[name]))
        self._by_id = {rule.id: rule for rule in self.rules}
        self._compiled = _compile({name: _text(name, data) for name, data in files.items()})
        self._stopped: frozenset[str] = frozenset()

    def without(self, stopped: frozenset[str]) -> YaraRules:
        """The same compiled rules, deaf to the ids in `stopped`; nothing is compiled again."""
        copy = object.__new__(YaraRules)
        copy.version, copy.rules, copy._by_id, copy._compiled = self.version, self.rules, self._by_id, self._compiled
        copy._stopped = stopped
        return copy

    def scan(
        self, data: bytes, *, externals: Mapping[str, str | int], timeout_s: int = DEFAULT_TIMEOUT
    ) -> tuple[Hit, ...]:
        """All rules that fit, in the order of their ids. Raises ScanTimeout."""
        asked = {name: externals[name] for name in EXTERNALS if name in externals}
        try:
            # fast: of a string that a rule only asks for, the first match is enough
            found = self._compiled.match(
                data=data, externals=asked, timeout=timeout_s, warnings_callback=_ignore, fast=True
            )
        except yara.TimeoutError as error:
            raise ScanTimeout(f"no answer after {timeout_s} s") from error
        hits = [
            _hit(self._by_id[match.meta["id"]], [s.identifier for s in match.strings])
            for match in found
            if match.meta["id"] not in self._stopped
        ]
        return tuple(sorted(hits, key=lambda hit: hit.rule))


def _hit(rule: Rule, strings: Iterable[str]) -> Hit:
    assert rule.disposition is not None
    return Hit(rule.id, rule.version, rule.disposition, rule.threat, rule.title, tuple(sorted(set(strings))))


def _ignore(*_: object) -> bool:
    """Too many matches of one string is no problem of ours: the first was enough."""
    return False


def _text(name: str, data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise RuleError(name, data[: error.start].count(b"\n") + 1, "not UTF-8") from error


def _compile(sources: Mapping[str, str]) -> yara.Rules:
    """Each pack is a namespace, so that two packs may use one rule name."""
    if not sources:
        return yara.compile(source="", externals=dict(EXTERNALS))
    try:
        return yara.compile(sources=dict(sources), externals=dict(EXTERNALS), includes=False, error_on_warning=False)
    except yara.Error:
        _blame(sources)
        raise


def _blame(sources: Mapping[str, str]) -> None:
    """yara names the line, not always the pack: compile one by one to say both."""
    for name, text in sources.items():
        try:
            yara.compile(source=text, externals=dict(EXTERNALS), includes=False)
        except yara.Error as error:
            place = _AT_LINE.search(str(error))
            last = text.rstrip().count("\n") + 1  # where the file ends too early, yara names no line
            line, problem = (int(place[1]) or last, place[2]) if place else (last, str(error))
            raise RuleError(name, line, problem) from error


def _read_pack(name: str, data: bytes) -> Iterable[Rule]:
    """The rules of one pack with their metas; private ones name no hit, they count as text of those that use them."""
    text = _text(name, data)
    compiled = list(_compile({name: text}))
    found = list(_RULE_LINE.finditer(text))
    ends = [*(match.start() for match in found[1:]), len(text)][: len(found)]
    bodies = {match[1]: text[match.start() : end].strip() for match, end in zip(found, ends, strict=True)}
    lines = {match[1]: text.count("\n", 0, match.start(1)) + 1 for match in found}
    private = [rule.identifier for rule in compiled if rule.is_private]
    for rule in compiled:
        if not rule.is_private:
            body = bodies.get(rule.identifier, "")
            used = [bodies[one] for one in private if one in _called(body, private, bodies)]
            yield _rule(name, lines.get(rule.identifier, 0), dict(rule.meta), "\n\n".join([body, *used]))


def _called(body: str, private: Sequence[str], bodies: Mapping[str, str]) -> set[str]:
    """The private rules that a rule's text leads to, through each other too."""
    found: set[str] = set()
    waiting = [body]
    while waiting:
        text = waiting.pop()
        new = {one for one in private if one not in found and one in bodies and re.search(rf"\b{one}\b", text)}
        found |= new
        waiting += [bodies[one] for one in new]
    return found


def _rule(file: str, line: int, meta: Mapping[str, object], text: str) -> Rule:
    missing = [key for key in NEEDED_METAS if not str(meta.get(key, "")).strip()]
    if missing:
        raise RuleError(file, line, f"meta is missing: {', '.join(missing)}")
    disposition, threat = str(meta["disposition"]), str(meta["threat"])
    if disposition not in DISPOSITIONS:
        raise RuleError(file, line, f"disposition is one of {', '.join(DISPOSITIONS)}, not {disposition!r}")
    if threat not in THREATS:
        raise RuleError(file, line, f"{threat!r} is not in the closed list of threat classes: {', '.join(THREATS)}")
    title = {"en": str(meta["title_en"]), "ar": str(meta["title_ar"])}
    return Rule(
        str(meta["id"]), str(meta["version"]), "yara", title, threat, cast(RuleDisposition, disposition),
        _LEVEL_OF[disposition], file, line, text,
    )  # fmt: skip


def alone(rule: Rule, pack: bytes) -> YaraRules:
    """One rule with the private rules and imports of its pack, to see what it costs by itself."""
    imports = "\n".join(re.findall(r'^import "\w+"', pack.decode(), re.MULTILINE))
    first, *private = rule.text.split("\n\nprivate rule ")
    text = "\n\n".join([imports, *(f"private rule {one}" for one in private), first])
    return YaraRules({rule.file: text.encode()}, "")
