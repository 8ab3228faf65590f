"""Examines a message: parts by all readings, what is packed in them, and the detection rules that fit."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from hudhud.settings import Content
from mail.content import parts
from mail.content.bench import Bench, Work
from mail.content.parts import Contents, Part
from mail.content.plain import plain
from mail.content.sandbox import Sandbox
from mail.content.unpack import unpack
from mail.message import Message
from rules.yara import Hit, ScanTimeout, YaraRules

INLINE_BYTES: Final = 64 * 1024  # a larger message is read in a thread, so that others are not kept waiting
QUICK_S: Final = 1  # seconds; a part that takes longer is scanned in a thread
HEADER: Final = "header"  # the path of the message's own header in hits


@dataclass(frozen=True, slots=True)
class Scanned:
    """(part path, hit) for all that fits; `contents` with a limit more where a scan was too slow."""

    hits: tuple[tuple[str, Hit], ...]
    contents: Contents


class Examiner:
    """Holds the unpacking child. `limits_hit` counts how often each cap was hit, by its name."""

    def __init__(self, settings: Content) -> None:
        self.settings = settings
        self.limits_hit: dict[str, int] = {}
        self.bench = Bench(settings.threads)
        self._sandbox = Sandbox(settings)

    async def close(self) -> None:
        self.bench.close()
        await self._sandbox.close()

    async def read(self, message: Message) -> Contents:
        """All parts, by all readings, and everything that is packed in them."""
        if message.size > INLINE_BYTES:
            contents = await self.bench.do(lambda _: self._parts(message.data))
        else:
            contents = self._parts(message.data)
        contents = await unpack(contents, self.settings, self._sandbox)
        for name in contents.limits:
            self.limits_hit[name] = self.limits_hit.get(name, 0) + 1
        return contents

    async def scan(self, message: Message, contents: Contents, rules: YaraRules) -> Scanned:
        """Every rule over the header and each part, under each name that programs may show for it."""
        if message.size <= INLINE_BYTES and len(contents.parts) <= 8:
            scanned = self._scan(message, contents, rules, QUICK_S, None)
            if scanned is not None:
                return scanned
        seconds = max(1, round(self.settings.scan_timeout_s))
        scanned = await self.bench.do(lambda work: self._scan(message, contents, rules, seconds, work))
        assert scanned is not None
        return scanned

    def _parts(self, data: bytes) -> Contents:
        return parts.read(data, max_parts=self.settings.max_parts, max_depth=self.settings.max_depth)

    def _scan(
        self, message: Message, contents: Contents, rules: YaraRules, seconds: int, work: Work | None
    ) -> Scanned | None:
        """At most `seconds` for each part. Not at the bench (`work` None), None as soon as one takes so long."""
        found: list[tuple[str, Hit]] = []
        ambiguous, locked = int(bool(contents.ambiguous)), len(contents.encrypted)
        common: dict[str, str | int] = {"ambiguous": ambiguous, "encrypted_beside": locked}
        slow = False
        header = message.data[: message.body_at]
        asked = [(HEADER, header, {"part": HEADER, **common})]
        asked += [
            (part.path, data, seen | common)
            for part in contents.parts
            for data in (part.data, plain(part))
            if data is not None
            for seen in _externals(part)
        ]
        for path, data, externals in asked:
            if work is not None:
                work.go_on()
            try:
                found += [(path, hit) for hit in rules.scan(data, externals=externals, timeout_s=seconds)]
            except ScanTimeout:
                if work is None:
                    return None
                slow = True
        if slow:
            contents = replace(contents, limits=tuple(sorted({*contents.limits, "scan_timeout_s"})))
        return Scanned(tuple(found), contents)


def _externals(part: Part) -> list[dict[str, str | int]]:
    """What the rules may ask of a part, once for each of its names."""
    common: dict[str, str | int] = {
        "media_type": part.media_type,
        "detected_type": part.detected_type,
        "depth": part.depth,
        "part": "body" if part.is_body else "attachment",
    }
    return [common | {"filename": name, "extension": extension_of(name)} for name in part.names or ("",)]


def extension_of(name: str) -> str:
    """What follows the last dot of a file name, in lower case, as Windows sees it (trailing dots and spaces aside)."""
    base = name.replace("\\", "/").rpartition("/")[2].partition("\x00")[0].rstrip(". \t")
    _, dot, extension = base.rpartition(".")
    return extension.strip().lower() if dot else ""
