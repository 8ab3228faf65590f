"""Opens what parts contain: ZIP and PDF here, everything riskier in the child process; caps count per message."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Final

from hudhud.settings import Content
from mail.content.opened import Budget, Entry, Job, Kind, Opened
from mail.content.parts import Contents, Part, new_part, read
from mail.content.pdf import pdf
from mail.content.sandbox import Sandbox
from mail.content.tnef import tnef
from mail.content.unzip import unzip

ZIPS: Final = frozenset({"zip", "docx", "xlsx", "pptx", "vsdx", "ooxml", "odf", "jar"})
OFFICE_ZIPS: Final = frozenset({"docx", "xlsx", "pptx", "vsdx", "ooxml", "odf"})
CHILD_KINDS: Final[dict[str, Kind]] = {
    "ole": "office", "rtf": "rtf",
    "7z": "archive", "rar": "archive", "gzip": "archive", "bzip2": "archive", "xz": "archive", "zstd": "archive",
    "lz4": "archive", "cab": "archive", "tar": "archive", "iso": "archive", "arj": "archive", "ar": "archive",
    "chm": "archive",
}  # fmt: skip
THREAD_BYTES: Final = 32 * 1024  # a larger file is opened in a thread, so that others are not kept waiting

_MAIL_NAME = re.compile(r"\.(?:eml|mht|mhtml|mim|nws)$", re.I)


@dataclass(slots=True)
class _Message:
    """One message's unpacking: what was found so far and what is left of the caps."""

    settings: Content
    budget: Budget
    parts: list[Part] = field(default_factory=list)
    encrypted: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)
    limits: set[str] = field(default_factory=set)


async def unpack(contents: Contents, settings: Content, sandbox: Sandbox) -> Contents:
    """The contents with everything that is in its archives and documents, and what could not be opened."""
    if not any(_opens(part) for part in contents.parts):
        return contents
    packed = sum(part.size for part in contents.parts)
    budget = Budget(settings.max_files, settings.max_unpacked_bytes, settings.max_ratio, packed)
    state = _Message(settings, budget)
    waiting = list(contents.parts)
    seen: set[str] = set()
    while waiting:
        part = waiting.pop(0)
        if not _opens(part) or part.sha256 in seen:
            continue
        seen.add(part.sha256)
        if part.depth >= settings.max_depth:
            state.limits.add("max_depth")
            continue
        waiting += _kept(part, await _open(part, state, sandbox), state)
    return replace(
        contents,
        parts=(*contents.parts, *state.parts),
        encrypted=(*contents.encrypted, *state.encrypted),
        unread=(*contents.unread, *state.unread),
        limits=tuple(sorted({*contents.limits, *state.limits, *budget.limits})),
    )


def _opens(part: Part) -> bool:
    kind = part.detected_type
    if kind == "pdf":
        return b"stream" in part.data
    return kind in ZIPS or kind in CHILD_KINDS or kind == "tnef" or _is_mail(part) or b"PK\x03\x04" in part.data[:65536]


def _is_mail(part: Part) -> bool:
    return part.detected_type in ("text", "html", "data", "xml") and any(_MAIL_NAME.search(n) for n in part.names)


async def _open(part: Part, state: _Message, sandbox: Sandbox) -> Opened:
    kind = part.detected_type
    if kind in CHILD_KINDS:
        return await sandbox.open(_job(CHILD_KINDS[kind], part, state))
    opened = _here(part, state) if part.size <= THREAD_BYTES else await asyncio.to_thread(_here, part, state)
    if opened.problem == "method":  # a compression that only libarchive knows
        other = await sandbox.open(_job("archive", part, state))
        return replace_entries(other, opened)
    return opened


def _here(part: Part, state: _Message) -> Opened:
    kind = part.detected_type
    if kind == "tnef":
        return Opened(tuple(tnef(part.data)))
    if kind == "pdf":
        return pdf(part.data, state.budget.room())
    if _is_mail(part):
        return Opened(tuple(_nested(part, state)))
    return unzip(part.data, state.budget, office=kind in OFFICE_ZIPS)


def replace_entries(other: Opened, first: Opened) -> Opened:
    """What libarchive read, with the names and the encryption that the ZIP's own lists tell of."""
    known = {entry.name for entry in other.entries if entry.data}
    rest = tuple(entry for entry in first.entries if entry.name not in known)
    return Opened((*other.entries, *rest), other.encrypted or first.encrypted, other.limits, other.problem)


def _job(kind: Kind, part: Part, state: _Message) -> Job:
    left, settings = state.budget, state.settings
    room = max(1, min(left.octets, left.by_ratio))
    return Job(kind, part.name, part.data, max(1, left.files), room, settings.max_ratio, settings.unpack_timeout_s)


def _nested(part: Part, state: _Message) -> Iterator[Entry]:
    inner = read(part.data, max_parts=state.settings.max_parts, max_depth=state.settings.max_depth)
    state.limits |= set(inner.limits)
    for one in inner.parts:
        yield Entry(one.name, one.data, media_type=one.media_type)


def _kept(part: Part, opened: Opened, state: _Message) -> list[Part]:
    """Files it the parts of what was opened; those that may hold more are returned."""
    if opened.encrypted:
        state.encrypted.append(part.path)
    if opened.problem and opened.problem != "method":
        state.unread.append(f"{part.path}: {opened.problem}")
    state.limits |= set(opened.limits)
    inline = part.detected_type in ZIPS
    found = []
    for number, entry in enumerate(opened.entries, 1):
        if not inline and not state.budget.take(len(entry.data)):
            break
        if len(state.parts) >= state.settings.max_files:
            state.limits.add("max_files")
            break
        names = (entry.name,) if entry.name else ()
        new = new_part(
            f"{part.path}!{number}", entry.data, names=names, media_type=entry.media_type,
            readings=part.readings, depth=part.depth + 1,
        )  # fmt: skip
        state.parts.append(new)
        found.append(new)
    return found
