"""What bytes are, by their own signature, whatever they are called; a small table, most specific first. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

_AT_START: Final[tuple[tuple[bytes, str], ...]] = (
    (b"PK\x03\x04", "zip"),
    (b"PK\x05\x06", "zip"),
    (b"PK\x07\x08", "zip"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "ole"),
    (b"%PDF-", "pdf"),
    (b"MZ", "exe"),
    (b"\x7fELF", "elf"),
    (b"\xca\xfe\xba\xbe", "java"),
    (b"\xcf\xfa\xed\xfe", "macho"),
    (b"\xce\xfa\xed\xfe", "macho"),
    (b"\x4c\x00\x00\x00\x01\x14\x02\x00", "lnk"),
    (b"\xe4\x52\x5c\x7b\x8c\xd8\xa7\x4d\xae\xb1\x53\x78\xd0\x29\x96\xd3", "onenote"),
    (b"{\\rt", "rtf"),
    (b"7z\xbc\xaf\x27\x1c", "7z"),
    (b"Rar!\x1a\x07", "rar"),
    (b"\x1f\x8b", "gzip"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"\x04\x22\x4d\x18", "lz4"),
    (b"MSCF", "cab"),
    (b"ITSF", "chm"),
    (b"\x60\xea", "arj"),
    (b"**ACE**", "ace"),
    (b"!<arch>\n", "ar"),
    (b"\x78\x9f\x3e\x22", "tnef"),
    (b"conectix", "vhd"),
    (b"vhdxfile", "vhdx"),
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"\xff\xd8\xff", "jpeg"),
    (b"GIF8", "gif"),
    (b"BM", "bmp"),
    (b"II*\x00", "tiff"),
    (b"MM\x00*", "tiff"),
    (b"OggS", "ogg"),
    (b"ID3", "mp3"),
    (b"\x00asm", "wasm"),
    (b"SQLite format 3\x00", "sqlite"),
    (b"%!PS", "postscript"),
    (b"-----BEGIN PGP", "pgp"),
    (b"#!", "script"),
    (b"begin ", "uuencode"),
    (b"\x05\x16\x07", "applefile"),
    (b"!BDN", "pst"),
    (b"\x00\x01\x00\x00Standard ", "access"),
)
_BY_BYTE: Final[dict[int, tuple[tuple[bytes, str], ...]]] = {
    byte: tuple(row for row in _AT_START if row[0][0] == byte) for byte in {row[0][0] for row in _AT_START}
}
_HTML = re.compile(
    rb"<(?:!doctype\s+html|html|head|body|script|iframe|table|form|a\s|img\s|div|svg|p>|meta|title|br)", re.I
)
_SCRIPT = re.compile(
    rb"(?:^|\n)\s*(?:@echo\s|Set-StrictMode|Invoke-|\$[A-Za-z_]\w*\s*=\s*(?:New-Object|\[)|On Error Resume Next"
    rb"|CreateObject\(|WScript\.|new ActiveXObject|<job\b|Dim\s+\w+)",
    re.I,
)
_SCRIPT_MARKS: Final = (b"invoke-", b"strictmode", b"resume next", b"object", b"wscript", b"dim")
_OOXML: Final = ((b"word/", "docx"), (b"xl/", "xlsx"), (b"ppt/", "pptx"), (b"visio/", "vsdx"))
_PE_MAX = 4096  # where the PE header may begin


def detect(data: bytes) -> str:
    """A short word for what the bytes are: zip, docx, ole, pdf, exe, …, html, script, text, "data"; "" for no bytes."""
    if not data:
        return ""
    for signature, word in _BY_BYTE.get(data[0], ()):
        if data.startswith(signature):
            return _SECOND_LOOK[word](data) if word in _SECOND_LOOK else word
    if len(data) > 0x8006 and data[0x8001:0x8006] == b"CD001":
        return "iso"
    if data[257:262] == b"ustar":
        return "tar"
    if data[:4] == b"RIFF" and len(data) > 12:
        return {b"WAVE": "wav", b"WEBP": "webp", b"AVI ": "avi"}.get(data[8:12], "riff")
    if data[4:8] == b"ftyp":
        return "mp4"
    return _by_text(data)


def _by_text(data: bytes) -> str:
    start = data[:2048]
    if start[:2] in (b"\xff\xfe", b"\xfe\xff"):
        start = start.decode("utf-16", "replace").encode("utf-8", "replace")
    bare = start.removeprefix(b"\xef\xbb\xbf").lstrip()
    if bare[:5].lower() == b"{\\rtf":
        return "rtf"
    if b"%PDF-" in start[:1024]:
        return "pdf"
    if bare[:5] == b"<?xml":
        return "svg" if b"<svg" in bare else "html" if b"<html" in bare.lower() else "xml"
    if bare[:1] == b"<" and _HTML.match(bare):
        return "html"
    if any(mark in start for mark in (b"$", b"@", b"<")) or any(mark in start.lower() for mark in _SCRIPT_MARKS):
        if _SCRIPT.search(start):
            return "script"
        if bare.count(b"<") > 3 and _HTML.search(bare):
            return "html"
    return "text" if is_text(start) else "data"


def is_text(data: bytes) -> bool:
    """Whether there are no bytes that text does not have."""
    return not data.translate(None, _TEXT_BYTES)


_TEXT_BYTES: Final = bytes({7, 8, 9, 10, 12, 13, 27, *range(32, 127), *range(128, 256)})


def _zip(data: bytes) -> str:
    if b"[Content_Types].xml" in data[:4096] or b"[Content_Types].xml" in data[-65536:]:
        for name, word in _OOXML:
            if name in data:
                return word
        return "ooxml"
    if data[30:38] == b"mimetype" and b"opendocument" in data[38:120]:
        return "odf"
    if b"META-INF/MANIFEST.MF" in data:
        return "jar"
    return "zip"


def _exe(data: bytes) -> str:
    at = int.from_bytes(data[0x3C:0x40], "little") if len(data) >= 0x40 else 0
    if 0 < at < _PE_MAX and data[at : at + 2] in (b"PE", b"NE", b"LE", b"LX"):
        return "exe"
    return "exe" if not is_text(data[:512]) else "text"


def _bmp(data: bytes) -> str:
    return "bmp" if len(data) > 14 and data[6:10] == b"\0\0\0\0" else _by_text(data)


def _java(data: bytes) -> str:
    return "macho" if int.from_bytes(data[4:8], "big") < 30 else "java"


_SECOND_LOOK: Final[dict[str, Callable[[bytes], str]]] = {
    "zip": _zip,
    "exe": _exe,
    "bmp": _bmp,
    "java": _java,
    "uuencode": lambda data: "uuencode" if re.match(rb"begin [0-7]{3,4} \S", data) else _by_text(data),
    "arj": lambda data: "arj" if len(data) > 40 and data[2:4] != b"\0\0" and not is_text(data[:64]) else _by_text(data),
    "gzip": lambda data: "gzip" if data[2:3] == b"\x08" else "data",
    "bzip2": lambda data: "bzip2" if data[4:10] == b"1AY&SY" else _by_text(data),
}
