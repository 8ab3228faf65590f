"""What a message contains: its parts by several readings at once (strict, lenient, carved). Pure."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Final, Literal

from mail.content.carve import carve
from mail.content.loose import Loose
from mail.content.magic import detect
from mail.content.tree import Leaf, Strict, worth_carving

Reading = Literal["strict", "lenient", "carved"]

MAX_PARTS: Final = 500  # parts of one message
MAX_DEPTH: Final = 10  # entities within entities
MAX_NAMES: Final = 8  # names of one part
MAX_SAME: Final = 20  # parts of the same bytes that get further names
SMALL: Final = 24  # octets; a text that only a lenient reader finds is noise below it
TEXTS: Final = frozenset({"", "text", "data"})


@dataclass(frozen=True, slots=True)
class Part:
    """One piece of content. `path` is IMAP's ("1.2"); "?1" stands where only a lenient reading finds it, "1~1" was
    carved out of part 1, "1!2" unpacked from it.

    `media_type` is declared, `detected_type` is what the bytes say; `size` in octets of the decoded `data`;
    `names` are all that programs may show, `name` the first; `depth` 0 = in the message, 1 = in an archive in it.
    """

    path: str
    name: str
    media_type: str
    detected_type: str
    size: int
    sha256: str
    readings: tuple[Reading, ...]
    data: bytes
    disposition: str = ""
    charset: str = ""
    names: tuple[str, ...] = ()
    depth: int = 0

    @property
    def is_body(self) -> bool:
        """Whether a mail program shows it as the message's text."""
        return (
            self.depth == 0 and not self.names and self.disposition != "attachment" and self.media_type[:5] == "text/"
        )


@dataclass(frozen=True, slots=True)
class Contents:
    """Everything that was found in a message. The tuples beside the parts hold slugs and paths, never contents.

    `ambiguous`: how mail programs may differ on it. `limits`: caps that were hit (settings [content]).
    `encrypted`: paths of parts that need a password. `unread`: paths that could not be unpacked, with the reason.
    """

    parts: tuple[Part, ...] = ()
    ambiguous: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()
    encrypted: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()


def new_part(
    path: str,
    data: bytes,
    *,
    names: tuple[str, ...] = (),
    media_type: str = "",
    readings: tuple[Reading, ...],
    depth: int,
) -> Part:
    """A part that was carved or unpacked."""
    sha256 = hashlib.sha256(data).hexdigest()
    name = names[0] if names else ""
    return Part(path, name, media_type, detect(data), len(data), sha256, readings, data, names=names, depth=depth)


@dataclass(slots=True)
class _Found:
    leaf: Leaf
    sha256: str
    detected: str
    names: dict[str, None]
    readings: dict[Reading, None]


@dataclass(slots=True)
class _Collector:
    """Merges what the readings find: the same bytes are the same part."""

    max_parts: int
    found: list[_Found] = field(default_factory=list)
    by_hash: dict[str, list[_Found]] = field(default_factory=dict)
    limits: set[str] = field(default_factory=set)
    extra: int = 0

    def strict(self, leaf: Leaf) -> None:
        self._new(leaf, hashlib.sha256(leaf.data).hexdigest(), "strict")

    def lenient(self, leaf: Leaf) -> None:
        if not leaf.data.strip():
            return
        sha256 = hashlib.sha256(leaf.data).hexdigest()
        known = self.by_hash.get(sha256)
        if known is None:
            self.extra += 1
            leaf.path = f"?{self.extra}"
            self._new(leaf, sha256, "lenient")
            return
        if "lenient" not in known[-1].readings:
            for one in known:
                one.readings["lenient"] = None
        for one in known[:MAX_SAME] if leaf.head.names else ():
            if len(one.names) < MAX_NAMES:
                one.names |= dict.fromkeys(leaf.head.names)

    def carved(self, parent: _Found, number: int, name: str, media_type: str, data: bytes) -> None:
        sha256 = hashlib.sha256(data).hexdigest()
        if sha256 in self.by_hash:
            for one in self.by_hash[sha256]:
                one.readings["carved"] = None
                one.names |= dict.fromkeys([name] if name else [])
            return
        leaf = Leaf(f"{parent.leaf.path}~{number}", parent.leaf.head, data, media_type)
        new = self._new(leaf, sha256, "carved")
        if new is not None:
            new.names = dict.fromkeys([name] if name else [])

    def _new(self, leaf: Leaf, sha256: str, reading: Reading) -> _Found | None:
        if len(self.found) >= self.max_parts:
            self.limits.add("max_parts")
            return None
        one = _Found(leaf, sha256, detect(leaf.data), dict.fromkeys(leaf.head.names), {reading: None})
        self.found.append(one)
        self.by_hash.setdefault(sha256, []).append(one)
        return one


def read(data: bytes, *, max_parts: int = MAX_PARTS, max_depth: int = MAX_DEPTH) -> Contents:
    """All parts by all readings. Where the strict one leaves no doubt the lenient one is not made: it is the same."""
    collector = _Collector(max_parts)
    strict = Strict(collector.strict, max_parts, max_depth)
    strict.read(data)
    limits = strict.limits
    doubtful = bool(strict.doubts)
    if doubtful:
        loose = Loose(collector.lenient, max_depth)
        loose.read(data)
        limits |= loose.limits
    else:
        for one in collector.found:
            one.readings["lenient"] = None
    if doubtful or strict.carvable:
        _carve_all(collector)
    kept = [one for one in collector.found if not doubtful or _worth_keeping(one, collector, data)]
    return Contents(
        parts=tuple(_part(one) for one in kept),
        ambiguous=tuple(sorted(_ambiguous(kept))) if doubtful else (),
        limits=tuple(sorted(limits | collector.limits)),
    )


def _carve_all(collector: _Collector) -> None:
    for one in list(collector.found):
        if one.detected in ("text", "html", "data", "script", "xml", "uuencode") and worth_carving(one.leaf.data):
            for number, (name, media_type, data) in enumerate(carve(one.leaf.data), 1):
                collector.carved(one, number, name, media_type, data)


def _worth_keeping(one: _Found, collector: _Collector, raw: bytes) -> bool:
    """A text that only the lenient reading cuts out of what stands there anyway says nothing new."""
    if "strict" in one.readings or one.detected not in (*TEXTS, "html", "xml", "script"):
        return True
    text = one.leaf.data.strip()
    if len(text) < SMALL:
        return False
    if one.names and not any(one.names.keys() & other.names.keys() for other in collector.found if other is not one):
        return True
    if one.detected in TEXTS and (text in raw or text in raw.replace(b"\r\n", b"\n")):
        return False
    return not any(text in other.leaf.data for other in collector.found if "strict" in other.readings)


def _ambiguous(kept: list[_Found]) -> set[str]:
    """How programs may differ on what matters: files, their bytes and names; not on pieces of text."""
    reasons = set()
    for one in kept:
        if "strict" not in one.readings and "lenient" in one.readings and (one.names or one.detected not in TEXTS):
            reasons.add("hidden-part")
        if one.names and "strict" in one.readings and "lenient" not in one.readings and one.leaf.data.strip():
            reasons.add("strict-only-part")
        if len({name.rpartition(".")[2].lower() for name in one.names if "=?" not in name}) > 1:
            reasons.add("several-names")
    return reasons


def _part(one: _Found) -> Part:
    head, names = one.leaf.head, tuple(one.names)
    return Part(
        path=one.leaf.path,
        name=names[0] if names else "",
        media_type=one.leaf.media_type,
        detected_type=one.detected,
        size=len(one.leaf.data),
        sha256=one.sha256,
        readings=tuple(one.readings),
        data=one.leaf.data,
        disposition=head.disposition,
        charset=head.charset,
        names=names,
    )
