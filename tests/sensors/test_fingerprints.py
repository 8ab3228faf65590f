from __future__ import annotations

import hashlib

import pytest

from sensors.protocols.hello import ClientHello, ServerHello, ja3, ja3s, ja4

# The example of FoxIO's technical_details/JA4.md.
CIPHERS = [
    0x1301,
    0x1302,
    0x1303,
    0xC02B,
    0xC02F,
    0xC02C,
    0xC030,
    0xCCA9,
    0xCCA8,
    0xC013,
    0xC014,
    0x9C,
    0x9D,
    0x2F,
    0x35,
]
EXTENSIONS = [0x1B, 0, 0x33, 0x10, 0x4469, 0x17, 0x2D, 0xD, 5, 0x23, 0x12, 0x2B, 0xFF01, 0xB, 0xA, 0x15]
SIGNATURES = [0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601]


def hello(
    *, ciphers: list[int] = CIPHERS, extensions: list[int] = EXTENSIONS, alpn: tuple[bytes, ...] = (b"h2",),
    signatures: list[int] = SIGNATURES, versions: tuple[int, ...] = (0x6A6A, 0x0304, 0x0303), version: int = 0x0303,
) -> ClientHello:  # fmt: skip
    return ClientHello(
        version,
        tuple(ciphers),
        tuple(extensions),
        "x",
        alpn,
        versions,
        (0x1A1A, 29, 23),
        (0,),
        tuple(signatures),
        b"",
        False,
    )


def test_the_published_example_gives_the_published_fingerprint() -> None:
    assert ja4(hello()) == "t13d1516h2_8daaf6152771_e5627efa2ab1"


def test_grease_counts_nowhere() -> None:
    noisy = hello(ciphers=[0x0A0A, *CIPHERS], extensions=[0x1A1A, *EXTENSIONS, 0xFAFA])
    assert ja4(noisy) == ja4(hello())


def test_transport_sni_and_version_are_told_by_their_letters() -> None:
    assert ja4(hello(), "q").startswith("q13d")
    assert ja4(hello(extensions=[e for e in EXTENSIONS if e])).startswith("t13i1515h2")
    assert ja4(hello(versions=(), version=0x0301)).startswith("t10")
    assert ja4(hello(versions=(), version=0x1234)).startswith("t00")


@pytest.mark.parametrize(
    ("alpn", "expected"),
    [(b"h2", "h2"), (b"http/1.1", "h1"), (b"\xab", "ab"), (b"\x20", "20"), (b"\xab\xcd", "ad"), (b"\x20\x61", "21"),
     (b"\x30\xab", "3b"), (b"\x61\x20", "60"), (b"\x30\x31\xab\xcd", "3d"), (b"\x30\xab\xcd\x31", "01"),
     (b"x", "xx"), (b"", "00")],
)  # fmt: skip
def test_alpn_characters_follow_the_table_of_the_specification(alpn: bytes, expected: str) -> None:
    assert ja4(hello(alpn=(alpn,)))[8:10] == expected


def test_no_alpn_no_ciphers_no_extensions_no_signatures() -> None:
    assert ja4(hello(alpn=()))[8:10] == "00"
    assert ja4(hello(ciphers=[])).split("_")[1] == "000000000000"
    assert ja4(hello(extensions=[], signatures=[])).split("_")[2] == "000000000000"
    kept = hashlib.sha256(b"000a").hexdigest()[:12]
    assert ja4(hello(extensions=[10], signatures=[])).split("_")[2] == kept
    assert ja4(hello(ciphers=list(range(1, 130)))).startswith("t13d99")


def test_ja3_and_ja3s_hash_the_documented_strings() -> None:
    small = hello(ciphers=[0x0A0A, 47, 53], extensions=[0, 10, 0x2A2A, 11])
    assert ja3(small) == hashlib.md5(b"771,47-53,0-10-11,29-23,0").hexdigest()
    server = ServerHello(0x0303, 0x0303, 49199, (65281, 0, 11), b"", b"", False, False)
    assert ja3s(server) == hashlib.md5(b"771,49199,65281-0-11").hexdigest()
