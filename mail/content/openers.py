"""Opens archives, office files and RTF; only in the unpacking child. The one door to libarchive and oletools."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import re
import tarfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from mail.content.opened import Budget, Entry, Job, Kind, Opened

CHUNK: Final = 64 * 1024

_COMPRESSED: Final = ((b"\x1f\x8b", gzip.open), (b"BZh", bz2.open), (b"\xfd7zXZ\x00", lzma.open))


def archive(job: Job) -> Opened:
    """tar and single compressed files by the standard library, everything else by libarchive."""
    budget = Budget(job.max_files, job.max_bytes, job.max_ratio, len(job.data))
    entries: list[Entry] = []
    problem = ""
    try:
        for entry in _files(job, budget):
            entries.append(entry)
            if not budget.take(len(entry.data)):
                break
    except (tarfile.TarError, EOFError, OSError, lzma.LZMAError, zlib.error, ValueError) as error:
        problem = f"damaged ({type(error).__name__})"
    except _Unsupported as error:
        problem = str(error)
    encrypted = any(entry.encrypted for entry in entries) or "encrypt" in problem or "assphrase" in problem
    return Opened(tuple(entries), encrypted, tuple(sorted(budget.limits)), "" if encrypted else problem)


def _files(job: Job, budget: Budget) -> Iterator[Entry]:
    compressed = next((opener for magic, opener in _COMPRESSED if job.data.startswith(magic)), None)
    if compressed is None:
        yield from (_tar(job.data, budget) if job.data[257:262] == b"ustar" else _libarchive(job.data, budget))
        return
    with compressed(io.BytesIO(job.data)) as file:
        data = file.read(budget.room() + 1)
    if data[257:262] == b"ustar":
        yield from _tar(data, budget)
        return
    name = re.sub(r"\.(gz|bz2|xz|tgz|z)$", "", job.name, flags=re.I)
    yield Entry(name if name != job.name else "", data)


def _tar(data: bytes, budget: Budget) -> Iterator[Entry]:
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as tar:
        for member in tar:
            file = tar.extractfile(member) if member.isreg() else None
            if file is not None:
                yield Entry(member.name, file.read(budget.room() + 1))


class _Unsupported(Exception):  # noqa: N818 - it says what the file is, not what we did wrong
    """An archive that the library cannot read; the text says why."""


def _libarchive(data: bytes, budget: Budget) -> Iterator[Entry]:
    try:
        import libarchive
        from libarchive.exception import ArchiveError
    except (ImportError, OSError, AttributeError, TypeError):
        raise _Unsupported("unsupported (libarchive is not on this machine)") from None
    try:
        with libarchive.memory_reader(data) as reader:
            for entry in reader:
                if entry.isfile:
                    yield _read_entry(entry, budget)
    except ArchiveError as error:
        raise _Unsupported(f"damaged ({str(error)[:100]})") from None


def _read_entry(entry: Any, budget: Budget) -> Entry:
    room, blocks, size = budget.room(), [], 0
    name = str(entry.pathname or "")
    try:
        for block in entry.get_blocks(CHUNK):
            blocks.append(block)
            size += len(block)
            if size > room:
                break
    except Exception as error:
        if "assphrase" in str(error) or "ncrypt" in str(error):
            return Entry(name, encrypted=True)
        raise
    return Entry(name, b"".join(blocks))


def office(job: Job) -> Opened:
    """Macros as text, embedded files, and attachments of Outlook messages, out of an OLE file (MS-CFB)."""
    from oletools import olevba

    entries: list[Entry] = []
    ole = olevba.olefile.OleFileIO(io.BytesIO(job.data))
    streams = ole.listdir(streams=True, storages=False)
    encrypted = any(path[-1] in ("EncryptedPackage", "EncryptionInfo") for path in streams)
    entries += _embedded(ole, streams, job)
    if not encrypted:
        parser = olevba.VBA_Parser(job.name or "file", data=job.data)
        encrypted = bool(parser.detect_is_encrypted()) if hasattr(parser, "detect_is_encrypted") else False
        if parser.detect_vba_macros():
            modules = [
                code if isinstance(code, bytes) else str(code).encode("utf-8", "replace")
                for _, _, _, code in parser.extract_macros()
            ]
            # as one text: what starts by itself is often in one module and what it starts in another
            entries.append(Entry("macros.bas", b"\r\n".join(modules), media_type="text/x-vba"))
    return _within(entries, job, encrypted)


def _embedded(ole: Any, streams: list[list[str]], job: Job) -> Iterator[Entry]:
    from oletools import oleobj

    for path in streams[: job.max_files]:
        last = path[-1]
        if last == "\x01Ole10Native":
            native = oleobj.OleNativeStream(bindata=ole.openstream(path).read())
            yield Entry(str(native.filename or native.src_path or ""), native.data or b"")
        elif last == "__substg1.0_37010102":
            yield Entry(_outlook_name(ole, path[:-1]), ole.openstream(path).read())
        elif len(path) == 1 and last in ("__substg1.0_1000001F", "__substg1.0_10130102"):
            raw = ole.openstream(path).read()
            text = raw.decode("utf-16-le", "replace").encode() if last.endswith("1F") else raw
            yield Entry("", text, media_type="text/plain" if last.endswith("1F") else "text/html")
        elif last in ("Package", "CONTENTS"):
            yield Entry("", ole.openstream(path).read())


def _outlook_name(ole: Any, folder: list[str]) -> str:
    for tag, coding in (
        ("3707001F", "utf-16-le"),
        ("3704001F", "utf-16-le"),
        ("3707001E", "latin-1"),
        ("3704001E", "latin-1"),
    ):
        path = [*folder, f"__substg1.0_{tag}"]
        if ole.exists(path):
            return str(ole.openstream(path).read().decode(coding, "replace")).rstrip("\x00")
    return ""


def rtf(job: Job) -> Opened:
    """Objects that an RTF document carries (RTF 1.9.1)."""
    from oletools import rtfobj

    parser = rtfobj.RtfObjParser(job.data)
    parser.parse()
    entries = []
    for found in parser.objects[: job.max_files]:
        if found.is_package:
            entries.append(Entry(str(found.filename or ""), found.olepkgdata or b""))
        elif found.is_ole:
            name = found.class_name.decode("latin-1") if isinstance(found.class_name, bytes) else ""
            entries.append(Entry(name, found.oledata or b""))
        else:
            entries.append(Entry("", found.rawdata or b""))
    return _within(entries, job, False)


def _within(entries: list[Entry], job: Job, encrypted: bool) -> Opened:
    budget = Budget(job.max_files, job.max_bytes, job.max_ratio, len(job.data))
    kept = []
    for entry in entries:
        if not entry.data:
            continue
        if not budget.take(len(entry.data)):
            break
        kept.append(entry)
    return Opened(tuple(kept), encrypted, tuple(sorted(budget.limits)))


OPENERS: Final[Mapping[Kind, Callable[[Job], Opened]]] = {
    "archive": archive,
    "office": office,
    "rtf": rtf,
}
