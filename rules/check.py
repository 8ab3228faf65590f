"""What a rule must pass before it is released: compile, lint, samples, technical sign, version, speed."""

from __future__ import annotations

import re
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from rules import indicator
from rules.eventrule import CorrelationRule, SigmaRule
from rules.matcher import Matcher
from rules.rule import Rule, RuleError, version_key
from rules.ruleset import Ruleset
from rules.samples import Sample, failures, read_samples
from rules.sigma import parse_event_rules
from rules.yara import YaraRules, alone

SLOW_MS_PER_MIB: Final = 25.0  # milliseconds; a rule above it is named, it may still be released
BAIT_BYTES: Final = 1024 * 1024

_ID = re.compile(r"[A-Z]{1,4}-[A-Z0-9]{1,12}(?:-[A-Z0-9]{1,12}){0,3}")
_ARABIC = re.compile(r"[\u0620-\u064a]")
_LATIN = re.compile(r"[A-Za-z]")


@dataclass(frozen=True, slots=True)
class Remark:
    """One thing about a rule file. `grave`: it cannot be released so."""

    file: str
    line: int
    problem: str
    grave: bool = True

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.problem}" if self.line else f"{self.file}: {self.problem}"


@dataclass(frozen=True, slots=True)
class Checked:
    """The outcome. `ruleset` is None when it does not compile."""

    remarks: tuple[Remark, ...]
    ruleset: Ruleset | None
    samples: int

    @property
    def good(self) -> bool:
        """Whether it may be released."""
        return self.ruleset is not None and not any(remark.grave for remark in self.remarks)


def check(files: Mapping[str, bytes], previous: Mapping[str, bytes] | None = None, *, measure: bool = True) -> Checked:
    """Everything that can be said of a release's files, graver things first. `previous`: the live release's files."""
    compiled, remarks = _compile(files)
    if compiled is None:
        return Checked(tuple(remarks), None, 0)
    try:
        samples = read_samples(files)
    except RuleError as error:
        return Checked((_remark(error),), compiled, 0)
    remarks += _lint(compiled)
    remarks += _sampled(compiled, samples)
    remarks += map(_remark, failures(samples, compiled.yara, Matcher(compiled.sigma)))
    remarks += _technical(compiled, samples)
    remarks += _versions(compiled, previous or {})
    if measure:
        remarks += _speed(compiled, files)
    return Checked(tuple(sorted(remarks, key=lambda one: not one.grave)), compiled, len(samples))


def _remark(error: RuleError) -> Remark:
    return Remark(error.file, error.line, error.problem)


def _compile(files: Mapping[str, bytes]) -> tuple[Ruleset | None, list[Remark]]:
    """File by file first, so that every broken file is named and not only the first."""
    remarks: list[Remark] = []
    packs = {name: data for name, data in files.items() if name.endswith(".yar")}
    events = {name: data for name, data in files.items() if name.endswith((".yml", ".yaml"))}
    strange = set(files) - set(packs) - set(events) - {name for name in files if name.endswith(".samples.toml")}
    remarks += [Remark(name, 0, "a release holds .yar, .yml and .samples.toml files") for name in sorted(strange)]
    for name, data in packs.items():
        try:
            YaraRules({name: data}, "")
        except RuleError as error:
            remarks.append(_remark(error))
    try:
        sigma, correlations = parse_event_rules(events)
    except RuleError as error:
        return None, [*remarks, _remark(error)]
    if remarks:
        return None, remarks
    try:
        return Ruleset("", YaraRules(packs, ""), sigma, correlations), remarks
    except RuleError as error:
        return None, [_remark(error)]


def _lint(ruleset: Ruleset) -> Iterator[Remark]:
    seen: dict[str, Rule] = {}
    for rule in ruleset.rules:
        first = seen.setdefault(rule.id, rule)
        if first is not rule:
            yield Remark(rule.file, rule.line, f"the id {rule.id} is taken by {first.file}:{first.line}")
        yield from _lint_one(rule)


def _lint_one(rule: Rule) -> Iterator[Remark]:
    if not _ID.fullmatch(rule.id):
        yield Remark(
            rule.file, rule.line, f"an id is letters, then numbers or words with dashes (HY-0101), not {rule.id!r}"
        )
    try:
        version_key(rule.version)
    except ValueError as error:
        yield Remark(rule.file, rule.line, f"{rule.id}: {error}")
    if not _LATIN.search(rule.title["en"]) or not 5 <= len(rule.title["en"]) <= 120:
        yield Remark(rule.file, rule.line, f"{rule.id}: the English title has 5 to 120 characters")
    if not _ARABIC.search(rule.title["ar"]) or not 5 <= len(rule.title["ar"]) <= 120:
        yield Remark(rule.file, rule.line, f"{rule.id}: the Arabic title is missing or has not 5 to 120 characters")
    if not rule.threat:
        yield Remark(rule.file, rule.line, f"{rule.id}: names no threat class (`hudhud: {{threat: …}}`)")


def _sampled(ruleset: Ruleset, samples: tuple[Sample, ...]) -> Iterator[Remark]:
    """Every rule over one message or event has samples both ways; what a correlation counts has its own."""
    known = {rule.id: rule for rule in ruleset.rules}
    matched = {name for sample in samples for name in sample.match}
    silent = {name for sample in samples for name in sample.silent}
    for rule in known.values():
        if rule.kind == "correlation":
            continue
        if rule.id not in matched:
            yield Remark(rule.file, rule.line, f"{rule.id} has no sample that it must match")
        if rule.id not in silent:
            yield Remark(rule.file, rule.line, f"{rule.id} has no sample that it must not match")
    for sample in samples:
        for name in {*sample.match, *sample.silent} - set(known):
            yield Remark(sample.file, sample.line, f"the sample {sample.name!r} names a rule that is not there: {name}")


def _technical(ruleset: Ruleset, samples: tuple[Sample, ...]) -> Iterator[Remark]:
    """Design §8.4: names and topics alone are nobody's business."""
    lesson = "a rule needs a technical sign, names and topics alone cannot be released"
    of_rule: defaultdict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        for name in sample.match:
            if sample.data is not None:
                of_rule[name].append(sample)
    for rule in ruleset.yara.rules:
        where = indicator.words_alone(rule, tuple(of_rule[rule.id]), ruleset.yara)
        if where is not None:
            yield Remark(rule.file, rule.line, f"{rule.id} matches the words alone in {where}: {lesson}")
    for event_rule in ruleset.sigma:
        if indicator.topic_alone(event_rule):
            yield _of(event_rule, f"{event_rule.id} can match on who, where or what about alone: {lesson}")
    for correlation in ruleset.correlations:
        field = indicator.topic_grouped(correlation)
        if field is not None:
            yield _of(correlation, f"{correlation.id} counts or groups by {field}: {lesson}")


def _of(rule: SigmaRule | CorrelationRule, problem: str) -> Remark:
    return Remark(rule.file, rule.line, problem)


def _versions(ruleset: Ruleset, previous: Mapping[str, bytes]) -> Iterator[Remark]:
    """A changed text needs a higher version, or two different rules would explain one verdict."""
    before, _ = _compile(previous)
    old = {rule.id: rule for rule in before.rules} if before else {}
    for rule in ruleset.rules:
        was = old.get(rule.id)
        if was is None:
            continue
        try:
            grown = version_key(rule.version) > version_key(was.version)
            same = version_key(rule.version) == version_key(was.version)
        except ValueError:
            continue
        if not grown and (not same or rule.text.split() != was.text.split()):
            yield Remark(rule.file, rule.line, f"{rule.id} was changed: its version must grow beyond {was.version}")


def bait() -> bytes:
    """One MiB of what mail is made of: Arabic and English text, HTML, base64, names; the same bytes each time."""
    lines = [
        "From: amal@finance.saba.example Subject: تقرير الربع الأول عن الميزانية",
        '<p style="font:12px">Please find the <a href="https://www.saba.example/r?id=1">report</a> attached.</p>',
        "TWFueSBoYW5kcyBtYWtlIGxpZ2h0IHdvcmsuIE1hbnkgaGFuZHMgbWFrZSBsaWdodCB3b3JrLg==",
        "نرجو الاطلاع على الملف المرفق وتحديث البيانات قبل نهاية الأسبوع، مع الشكر",
        "function total(list) { var sum = 0; for (var i in list) { sum += list[i]; } return sum; }",
        "%PDF-1.7 1 0 obj << /Type /Catalog /Pages 2 0 R >> endobj stream PK\x03\x04 word/document.xml",
    ]
    text = "\r\n".join(f"{line} {number}" for number, line in enumerate(lines * 40)).encode()
    return (text * (BAIT_BYTES // len(text) + 1))[:BAIT_BYTES]


def _speed(ruleset: Ruleset, files: Mapping[str, bytes]) -> Iterator[Remark]:
    data = bait()
    for rule in ruleset.yara.rules:
        single = alone(rule, files[rule.file])
        times = []
        for _ in range(2):
            begun = time.perf_counter()
            single.scan(data, externals={"part": "attachment"})
            times.append((time.perf_counter() - begun) * 1000)
        if min(times) > SLOW_MS_PER_MIB:
            problem = f"{rule.id} takes {min(times):.0f} ms/MiB, the budget is {SLOW_MS_PER_MIB:.0f} ms/MiB"
            yield Remark(rule.file, rule.line, problem, grave=False)
