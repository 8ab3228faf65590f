"""URLs, visible text and the hash bands by which one lure in many dresses is known."""

from __future__ import annotations

import random
import string

import pytest

from hudhud.settings import Content
from mail.content.features import bands, features, find_urls, host_of, visible
from mail.content.parts import new_part, read

LURE = (
    "Dear colleague, your mailbox in the national mail has reached its limit and will be closed within two days. "
    "Please confirm your account at the address below so that no message is lost. The technical office of the ministry "
    "asks every employee to finish this step before the end of the working day and thanks you for your cooperation."
)


@pytest.mark.parametrize(
    ("source", "urls"),
    [
        ("see http://a.example/x). Then", ["http://a.example/x"]),
        ("(https://a.example/x_(y))", ["https://a.example/x_(y)"]),
        ('<a href="https://a.example/?a=1&amp;b=2">x</a>', ["https://a.example/?a=1&b=2"]),
        ("<a href=//a.example/z>", ["http://a.example/z"]),
        ('<img src="h&#116;tp://a.example/q">', ["http://a.example/q"]),
        ("www.a.example/y and b@www.c.example", ["http://www.a.example/y"]),
        ("انظر https://a.example/بريد، ثم", ["https://a.example/بريد"]),
        ("no address", []),
    ],
)
def test_urls_are_found_as_a_reader_would_follow_them(source: str, urls: list[str]) -> None:
    assert list(dict.fromkeys(find_urls(source))) == urls


def test_hosts_are_lower_case_and_broken_urls_have_none() -> None:
    assert host_of("https://User@EVIL.example:8443/x") == "evil.example"
    assert host_of("http://[broken") == ""


def test_what_a_reader_does_not_see_is_left_out() -> None:
    page = (
        "<html><head><title>x</title></head><style>p{}</style><p>Hello&nbsp;you<!-- no --><script>var a='<p>'</script>"
    )
    assert visible(page, is_html=True).split() == ["Hello", "you"]


def _shared(one: str, other: str) -> int:
    return len({b for b in bands(one, [], []) if b[0] == "t"} & {b for b in bands(other, [], []) if b[0] == "t"})


def test_the_same_lure_in_another_dress_shares_a_band() -> None:
    dressed = LURE.replace("Dear colleague", "Dear Mr. Salim Khoury").replace("two days", "48 HOURS") + " Ref 8271-22"
    assert _shared(LURE, dressed) >= 1
    assert _shared(LURE, "<p>" + LURE.upper() + "</p>") >= 1


def test_other_texts_share_none() -> None:
    rng = random.Random(7)
    words = ["".join(rng.choices(string.ascii_lowercase, k=6)) for _ in range(400)]
    texts = [" ".join(rng.choices(words, k=60)) for _ in range(40)]
    assert not any(_shared(LURE, text) for text in texts)
    assert not any(_shared(a, b) for n, a in enumerate(texts) for b in texts[:n])


def test_short_texts_have_no_bands_and_order_does_not_matter() -> None:
    assert bands("see you tomorrow", [], []) == ()
    assert bands("", ["http://a.example/x", "http://b.example/"], ["f1"]) == bands(
        "", ["http://b.example/", "http://a.example/x"], ["f1"]
    )


def test_a_file_and_the_places_that_are_linked_are_bands_too() -> None:
    found = bands("", ["https://evil.example/login?id=1"], ["ab" * 32])
    assert {band[0] for band in found} == {"f", "u"}
    assert bands("", ["https://evil.example/login?id=2"], []) == tuple(b for b in found if b[0] == "u")


def test_features_are_of_all_parts_and_capped() -> None:
    page = "".join(f'<a href="https://h{n}.example/">x</a>' for n in range(50))
    data = f"Content-Type: text/html; charset=utf-8\r\n\r\n{page}{LURE}".encode()
    found = features(read(data).parts, Content(max_urls=10))
    assert len(found.urls) == 10
    packed = new_part("1!1", b"go to https://inside.example/x", names=("a.txt",), readings=("strict",), depth=1)
    assert features([packed], Content()).urls == ("https://inside.example/x",)
    assert "mailbox" in found.text


def test_names_of_xml_vocabularies_are_no_addresses() -> None:
    part = new_part(
        "1", b'<x xmlns="http://schemas.openxmlformats.org/a" y="http://a.example/">', readings=("strict",), depth=1
    )
    assert features([part], Content()).urls == ("http://a.example/",)
