"""What is packed in parts: names and bytes out of archives and documents, caps by name, and a child that may die."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import signal
import struct
import tarfile
import time
import zipfile
import zlib
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from hudhud.settings import Content
from mail.content.opened import Budget, Job
from mail.content.parts import Contents, new_part
from mail.content.sandbox import Sandbox
from mail.content.tnef import tnef
from mail.content.unpack import unpack
from mail.content.unzip import unzip

EXE = b"MZ" + b"\0" * 58 + (128).to_bytes(4, "little") + b"\0" * 64 + b"PE\0\0" + b"\0" * 200


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    box = Sandbox(Content())
    yield box
    await box.close()


def _zip(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as file:
        for name, data in files.items():
            file.writestr(name, data)
    return buffer.getvalue()


def _contents(data: bytes, name: str = "a.bin") -> Contents:
    return Contents((new_part("1", data, names=(name,), readings=("strict", "lenient"), depth=0),))


def _budget() -> Budget:
    return Budget(1000, 10_000_000, 200, 1_000_000)


async def test_a_program_with_two_extensions_in_a_zip_is_found_without_the_child(sandbox: Sandbox) -> None:
    contents = await unpack(_contents(_zip({"invoice.pdf.exe": EXE})), Content(), sandbox)
    part = contents.parts[1]
    assert (part.path, part.name, part.detected_type, part.depth) == ("1!1", "invoice.pdf.exe", "exe", 1)
    assert sandbox.started == 0


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
async def test_zips_in_zips_are_opened(sandbox: Sandbox, method: int) -> None:
    data = _zip({"b.zip": _zip({"a.txt.js": b"WScript.Echo(1)"}, method)}, method)
    contents = await unpack(_contents(data), Content(), sandbox)
    assert [part.path for part in contents.parts] == ["1", "1!1", "1!1!1"]
    assert contents.parts[2].data == b"WScript.Echo(1)"


def test_files_that_no_directory_names_are_found() -> None:
    first, second = _zip({"hidden.exe": EXE}), _zip({"shown.txt": b"x" * 50})
    names = {entry.name for entry in unzip(first + second, _budget()).entries}
    assert names == {"hidden.exe", "shown.txt"}
    beheaded = first[: first.rfind(b"PK\x01\x02")]
    opened = unzip(beheaded, _budget())
    assert [(e.name, e.data) for e in opened.entries] == [("hidden.exe", EXE)]


def test_a_wrong_checksum_hides_nothing() -> None:
    data = bytearray(_zip({"a.exe": EXE}))
    at = data.find(b"PK\x01\x02")
    data[at + 16 : at + 20] = b"\0\0\0\0"
    assert EXE in [entry.data for entry in unzip(bytes(data), _budget()).entries]


def test_an_encrypted_zip_tells_its_names() -> None:
    data = bytearray(_zip({"secret.exe": EXE}))
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = data.find(mark)
        data[at + offset] |= 1
    opened = unzip(bytes(data), _budget())
    assert opened.encrypted
    assert [(e.name, e.encrypted) for e in opened.entries] == [("secret.exe", True)]


@pytest.mark.parametrize(
    ("data", "limit", "settings"),
    [
        (_zip({"a": b"\0" * 50_000_000}), "max_ratio", Content()),
        (_zip({"a": os.urandom(3_000_000)}), "max_unpacked_bytes", Content(max_unpacked_bytes=1_000_000)),
        (_zip({str(n): b"x" for n in range(60)}), "max_files", Content(max_files=50)),
    ],
)
async def test_caps_are_hit_by_name(sandbox: Sandbox, data: bytes, limit: str, settings: Content) -> None:
    contents = await unpack(_contents(data), settings, sandbox)
    assert limit in contents.limits
    assert sum(part.size for part in contents.parts[1:]) <= settings.max_unpacked_bytes + 100


async def test_depth_is_capped(sandbox: Sandbox) -> None:
    data = b"x"
    for n in range(15):
        data = _zip({f"{n}.zip": data})
    assert "max_depth" in (await unpack(_contents(data), Content(), sandbox)).limits


def _tar(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as file:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress])
async def test_compressed_archives_are_opened_in_the_child(sandbox: Sandbox, compress) -> None:  # type: ignore[no-untyped-def]
    contents = await unpack(_contents(compress(_tar({"a/run.ps1": b"Invoke-Expression 1"}))), Content(), sandbox)
    assert [(part.name, part.data) for part in contents.parts[1:]] == [("a/run.ps1", b"Invoke-Expression 1")]
    single = await unpack(_contents(compress(EXE), "setup.exe.gz"), Content(), sandbox)
    assert single.parts[1].detected_type == "exe"
    assert sandbox.started == 1


async def test_a_bomb_in_the_child_is_capped(sandbox: Sandbox) -> None:
    contents = await unpack(_contents(gzip.compress(b"\0" * 300_000_000)), Content(), sandbox)
    assert "max_ratio" in contents.limits


async def test_a_dead_child_is_a_value_and_the_next_job_has_a_new_one(sandbox: Sandbox) -> None:
    job = Job("archive", "a.gz", gzip.compress(b"hello"), 10, 1000, 200, 5.0)
    assert (await sandbox.open(job)).entries[0].data == b"hello"
    assert sandbox._child is not None
    os.kill(sandbox._child.process.pid, signal.SIGKILL)
    opened = await sandbox.open(job)
    assert opened.limits == ("unpack_child",) or opened.entries[0].data == b"hello"
    assert (await sandbox.open(job)).entries[0].data == b"hello"


async def test_a_slow_child_is_ended() -> None:
    box = Sandbox(Content())
    started = time.monotonic()
    opened = await box.open(Job("rtf", "a.rtf", b"{\\object\\objdata 01" * 300_000, 10, 1000, 200, -4.9))
    assert opened.limits == ("unpack_timeout_s",)
    assert time.monotonic() - started < 5
    assert box.killed == 1
    await box.close()


async def test_a_child_has_no_more_memory_than_it_is_given() -> None:
    box = Sandbox(msgspec.structs.replace(Content(), unpack_memory_bytes=200 * 1024 * 1024))
    opened = await box.open(Job("archive", "a.gz", gzip.compress(b"\0" * 400_000_000), 10, 10**9, 10**6, 20.0))
    assert opened.limits in (("unpack_memory",), ("unpack_child",))
    await box.close()


async def test_compressed_streams_of_a_pdf_are_shown(sandbox: Sandbox) -> None:
    stream = zlib.compress(b"/URI (https://evil.example/login)")
    data = (
        b"%PDF-1.5\n1 0 obj\n<< /Filter /FlateDecode /Length 9 >>\nstream\n"
        + stream
        + b"\nendstream\nendobj\n"
        + b" " * 200
    )
    contents = await unpack(_contents(data), Content(), sandbox)
    assert b"evil.example" in contents.parts[1].data


def test_attachments_of_winmail_dat_are_found() -> None:
    def attribute(code: int, value: bytes) -> bytes:
        return struct.pack("<BHHI", 2, code, 6, len(value)) + value + b"\0\0"

    data = (
        struct.pack("<IH", 0x223E9F78, 1)
        + attribute(0x9002, b"")
        + attribute(0x8010, b"a.exe\0")
        + attribute(0x800F, EXE)
    )
    assert [(entry.name, entry.data) for entry in tnef(data)] == [("a.exe", EXE)]
    assert list(tnef(data[:20])) == []


async def test_mail_that_is_attached_as_a_file_is_read(sandbox: Sandbox) -> None:
    part = b"Content-Type: image/png; name=a.exe\r\n\r\nMZ\r\n"
    inner = b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n" + part + b"--x--\r\n"
    contents = await unpack(_contents(inner, "letter.eml"), Content(), sandbox)
    assert "a.exe" in [part.name for part in contents.parts]


async def test_real_office_files_give_up_their_macros(sandbox: Sandbox, shared_data: Path) -> None:
    folder = shared_data / "mail" / "attach" / "oletools"
    contents = await unpack(_contents((folder / "oleform" / "oleform-PR314.docm").read_bytes()), Content(), sandbox)
    macros = [part for part in contents.parts if part.media_type == "text/x-vba"]
    assert b"Attribute VB_Name" in macros[0].data
    assert all(part.depth == 2 for part in macros)
    locked = await unpack(_contents((folder / "encrypted" / "encrypted.docm").read_bytes()), Content(), sandbox)
    assert locked.encrypted == ("1",)


async def test_attachments_of_outlook_messages_are_found(sandbox: Sandbox, shared_data: Path) -> None:
    data = (shared_data / "mail" / "attach" / "msg-pymisp" / "mail_4.msg").read_bytes()
    contents = await unpack(_contents(data), Content(), sandbox)
    assert "TestAttachment1.xlsx" in [part.name for part in contents.parts]


@pytest.mark.parametrize("kind", ["zip", "ole", "rtf", "pdf", "gz", "7z"])
async def test_damaged_files_are_values(sandbox: Sandbox, kind: str) -> None:
    start = {
        "zip": b"PK\x03\x04", "ole": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "rtf": b"{\\rtf1 {\\object \\objdata 0105",
        "pdf": b"%PDF-1.4 stream\n", "gz": b"\x1f\x8b\x08", "7z": b"7z\xbc\xaf\x27\x1c",
    }[kind]  # fmt: skip
    contents = await unpack(_contents(start + os.urandom(3000)), Content(), sandbox)
    assert contents.parts[0].size > 3000
