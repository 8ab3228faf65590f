"""Reads a ZIP by its directory and by the headers before each file, with bounded inflation. Pure. APPNOTE 6.3."""

from __future__ import annotations

import bz2
import io
import lzma
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from itertools import islice
from typing import Final

from mail.content.opened import Budget, Entry, Opened

MAX_HEADERS: Final = 5000  # local headers of one ZIP that are looked at
MAX_RAW: Final = 64 * 1024 * 1024  # octets of a damaged member that are looked at

_DAMAGE: Final = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, ValueError, struct.error)
_LOCAL = re.compile(rb"PK\x03\x04(?=.{22}[\x00-\xff])", re.S)
_DULL = re.compile(r"(?:\.(?:png|jpe?g|gif|emf|wmf|tiff?|ttf|odttf|svg|wdp)|/(?:styles|theme\d*|fontTable|settings"
                   r"|webSettings|sharedStrings|calcChain|presProps|viewProps|tableStyles|numbering|stylesWithEffects)\.xml)$"
                   r"|^docProps/|/(?:theme|slideLayouts|slideMasters)/", re.I)  # fmt: skip


def unzip(data: bytes, budget: Budget, *, office: bool = False) -> Opened:
    """The files by both lists, which may tell different things to different programs.

    `problem` is "method" where a compression is not the standard library's. Of office files, what can hold
    no code and no address is left out.
    """
    entries: list[Entry] = []
    encrypted = False
    problem = ""
    known: list[tuple[int, int]] = []
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as file:
            infos = file.infolist()[: budget.files + 1]
            known = [(info.header_offset, info.header_offset + 30) for info in infos]
            for info in infos:
                if info.is_dir() or (office and _DULL.search(info.filename)):
                    continue
                encrypted |= bool(info.flag_bits & 1)
                entry, trouble = _member(file, info, budget)
                problem = problem or trouble
                entries.append(entry)
                if not trouble:
                    known.append((info.header_offset, info.header_offset + 30 + info.compress_size))
                if not budget.take(len(entry.data)):
                    break
    except _DAMAGE as error:
        problem = f"damaged ({type(error).__name__})"
    except (NotImplementedError, RuntimeError):
        problem = "method"
    for entry, locked in _hidden(data, sorted(known), budget):
        encrypted |= locked
        entries.append(entry)
    if entries and problem.startswith("damaged"):
        problem = ""
    return Opened(tuple(entries), encrypted, (), problem)


def _member(file: zipfile.ZipFile, info: zipfile.ZipInfo, budget: Budget) -> tuple[Entry, str]:
    if info.flag_bits & 1:
        return Entry(info.filename, encrypted=True), ""
    try:
        with file.open(info) as stream:
            return Entry(info.filename, stream.read(budget.room() + 1)), ""
    except NotImplementedError:
        return Entry(info.filename), "method"
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, RuntimeError, ValueError) as error:
        return Entry(info.filename, _raw_member(file, info, budget)), f"damaged ({type(error).__name__})"


def _raw_member(file: zipfile.ZipFile, info: zipfile.ZipInfo, budget: Budget) -> bytes:
    """What comes out of a member whose checksum or header is wrong: other programs are not so strict."""
    source = file.fp
    if source is None:
        return b""
    source.seek(info.header_offset)
    return _local_entry(source.read(min(info.compress_size + 30 + 2 * 65536, MAX_RAW)), 0, budget)[0].data


def _hidden(data: bytes, known: list[tuple[int, int]], budget: Budget) -> Iterator[tuple[Entry, bool]]:
    """Files that no directory names: in front of a second archive, behind it, or where the directory is broken.

    `known` are the spans of those that were read, in order; what a stored archive in it holds is read with that one.
    """
    end, spans = -1, iter([*known, (len(data), len(data))])
    start, stop = next(spans)
    for match in islice(_LOCAL.finditer(data), MAX_HEADERS):
        at = match.start()
        while at >= stop and start < len(data):
            start, stop = next(spans)
        if start <= at < stop or at < end:
            continue
        entry, locked, length = _local_entry(data, at, budget)
        end = at + length
        if entry.name and not entry.name.endswith("/"):
            yield entry, locked
            if not budget.take(len(entry.data)):
                return


def _local_entry(data: bytes, at: int, budget: Budget) -> tuple[Entry, bool, int]:
    """A file by its local header at `at`: entry, whether it is encrypted, octets that it takes."""
    if len(data) - at < 30:
        return Entry(""), False, 4
    flags, method = struct.unpack_from("<HH", data, at + 6)
    packed, _, name_size, extra_size = struct.unpack_from("<IIHH", data, at + 18)
    name = data[at + 30 : at + 30 + name_size].decode("utf-8" if flags & 0x800 else "cp437", "replace")
    start = at + 30 + name_size + extra_size
    if name_size == 0 or not name.isprintable():
        return Entry(""), False, 4
    if flags & 1:
        return Entry(name, encrypted=True), True, 30
    room = budget.room() + 1
    body = data[start : start + packed] if packed else data[start : start + MAX_RAW]
    try:
        if method == 8:
            content = zlib.decompressobj(-15).decompress(body, room)
        elif method == 12:
            content = bz2.BZ2Decompressor().decompress(body, room)
        else:
            content = body[:room] if method == 0 and packed else b""
    except (zlib.error, OSError, ValueError):
        content = b""
    return Entry(name, content), False, start + packed - at
