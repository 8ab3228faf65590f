"""Samples are built as real programs read them, the same bytes each time."""

from __future__ import annotations

import io
import re
import zipfile

import olefile
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.build import BuildError, build
from rules.literal import needed


def test_a_zip_is_a_zip() -> None:
    data = build(
        {"zip": [{"name": "ملف.txt", "data": ["one", {"hex": "00ff", "times": 3}]}, {"name": "b", "stored": True}]}
    )
    archive = zipfile.ZipFile(io.BytesIO(data))
    assert archive.testzip() is None
    assert archive.namelist() == ["ملف.txt", "b"]
    assert archive.read("ملف.txt") == b"one\x00\xff\x00\xff\x00\xff"


def test_an_encrypted_entry_asks_for_a_password() -> None:
    data = build({"zip": [{"name": "a.txt", "data": "secret", "encrypted": True}]})
    assert b"secret" not in data
    with pytest.raises(RuntimeError, match="encrypted"):
        zipfile.ZipFile(io.BytesIO(data)).read("a.txt")


def test_a_compound_file_is_one() -> None:
    data = build(
        {
            "ole": [
                {"name": "WordDocument", "data": "text"},
                {"name": "\x01Ole10Native", "data": {"text": "x", "times": 5000}},
            ]
        }
    )
    with olefile.OleFileIO(data) as ole:
        assert sorted(ole.listdir()) == [["\x01Ole10Native"], ["WordDocument"]]
        assert ole.openstream("WordDocument").read()[:4] == b"text"
        assert len(ole.openstream("\x01Ole10Native").read()) == 5000


def test_the_same_pieces_are_the_same_bytes() -> None:
    pieces = {"zip": [{"name": "a", "data": {"as_base64": {"hex": "4d5a"}}}]}
    assert build(pieces) == build(pieces)


@pytest.mark.parametrize(
    "pieces",
    [3, {}, {"text": "a", "hex": "00"}, {"hex": "0"}, {"base64": "*"}, {"zip": "x"}, {"zip": [{"data": "x"}]},
     {"text": "a", "times": -1}, {"text": "a", "times": 10**9}, {"ole": [{"name": "x" * 40}]},
     {"text": "a", "more": 1}],
)  # fmt: skip
def test_what_cannot_be_built_says_so(pieces: object) -> None:
    with pytest.raises(BuildError):
        build(pieces)


@pytest.mark.parametrize(
    ("pattern", "literal"),
    [
        (r"/gate\.php\?id=[0-9]+", "/gate.php?id="),
        ("abc|def", ""),
        ("(?i)abc", ""),
        ("abcd*", "abc"),
        ("ab+cd", "ab"),
        ("x{2,3}yz", "yz"),
        (r"\x41bcd", ""),
        (r"\dabc", "abc"),
        ("a(bcd|e)fgh", "fgh"),
        ("[abc]defg", "defg"),
        ("[]abc]de", "de"),
        ("[[:alpha:]]de", "de"),
        (".{150}", ""),
        (r"\Qa.b\E", ""),
    ],
)
def test_the_needed_literal_of_an_expression(pattern: str, literal: str) -> None:
    assert needed(pattern) == literal


@settings(max_examples=300)
@given(
    st.lists(
        st.sampled_from(["a", "b", "\\.", "[ab]", "(a|b)", "(ab)", "c?", "d*", "e+", "f{1,2}", ".", "g"]), max_size=6
    ),
    st.text("abcdefg.", max_size=10),
)
def test_every_match_contains_the_needed_literal(pieces: list[str], text: str) -> None:
    pattern = "".join(pieces)
    if re.search(pattern, text):
        assert needed(pattern) in text.lower()
