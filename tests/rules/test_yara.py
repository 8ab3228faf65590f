"""Mail rules: what they tell of a hit, what they may ask, what is wrong with a pack and where."""

from __future__ import annotations

import threading

import pytest

from rules.rule import RuleError
from rules.yara import ScanTimeout, YaraRules

RULE = """
rule {name}
{{
    meta:
        id = "{id}"
        version = "3"
        title_en = "A title"
        title_ar = "عنوان"
        disposition = "hold"
        threat = "executable"
    strings:
        $mark = "mark"
    condition:
        {condition}
}}
"""


def pack(condition: str = "$mark", id: str = "HY-9001", name: str = "a") -> bytes:
    return RULE.format(condition=condition, id=id, name=name).encode()


def ids(rules: YaraRules, data: bytes = b"a mark here", **externals: str | int) -> list[str]:
    return [hit.rule for hit in rules.scan(data, externals=externals)]


def test_a_hit_says_everything_but_the_content() -> None:
    (hit,) = YaraRules({"p.yar": pack()}, "v").scan(b"a secret mark here", externals={})
    assert (hit.rule, hit.version, hit.disposition, hit.threat) == ("HY-9001", "3", "hold", "executable")
    assert hit.title == {"en": "A title", "ar": "عنوان"}
    assert hit.strings == ("$mark",)
    assert "secret" not in repr(hit)


@pytest.mark.parametrize(
    ("condition", "externals", "expected"),
    [
        ('extension == "exe"', {"extension": "exe"}, True),
        ('extension == "exe"', {}, False),
        ('part == "body"', {"part": "body"}, True),
        ("depth > 0", {"depth": 2}, True),
        ("ambiguous == 1", {"ambiguous": 1}, True),
        ("encrypted_beside > 0", {"encrypted_beside": 1}, True),
        ("filename matches /\\.pdf\\.exe$/i", {"filename": "تقرير.PDF.exe"}, True),
        ('media_type == "text/html"', {"media_type": "text/html", "unknown": "ignored"}, True),
    ],
)
def test_rules_ask_for_what_is_beside_the_bytes(
    condition: str, externals: dict[str, str | int], expected: bool
) -> None:
    rules = YaraRules({"p.yar": pack(f"{condition} or ($mark and false)")}, "v")
    assert bool(ids(rules, **externals)) is expected


def test_two_packs_may_use_one_name_and_hits_come_in_the_order_of_ids() -> None:
    rules = YaraRules({"x.yar": pack(id="HY-9002"), "y.yar": pack(id="HY-9001")}, "v")
    assert ids(rules) == ["HY-9001", "HY-9002"]


def test_a_stopped_rule_is_silent_and_the_others_are_not() -> None:
    rules = YaraRules({"x.yar": pack(id="HY-9002"), "y.yar": pack(id="HY-9001")}, "v")
    assert ids(rules.without(frozenset({"HY-9002"}))) == ["HY-9001"]
    assert ids(rules) == ["HY-9001", "HY-9002"]


def test_private_rules_name_no_hit() -> None:
    rules = YaraRules({"p.yar": b"private rule z { condition: filesize > 0 }\n" + pack("z and $mark")}, "v")
    assert ids(rules) == ["HY-9001"]
    assert "private rule z" in rules.rules[0].text


@pytest.mark.parametrize(
    ("data", "line", "problem"),
    [
        (b"rule a {\n  condition:\n    nothing\n}", 3, "nothing"),
        (pack().replace(b'        title_ar = "\xd8\xb9\xd9\x86\xd9\x88\xd8\xa7\xd9\x86"\n', b""), 2, "title_ar"),
        (pack().replace(b'"executable"', b'"politics"'), 2, "closed list"),
        (pack().replace(b'"hold"', b'"delete"'), 2, "disposition"),
        (b'include "/etc/passwd"\n' + pack(), 1, "include"),
        (b"\xff" + pack(), 1, "UTF-8"),
    ],
)
def test_what_is_wrong_with_a_pack_is_named_with_its_line(data: bytes, line: int, problem: str) -> None:
    with pytest.raises(RuleError) as found:
        YaraRules({"good.yar": pack(id="HY-9000"), "mail/bad.yar": data}, "v")
    assert found.value.file == "mail/bad.yar"
    assert found.value.line == line
    assert problem in found.value.problem


def test_a_scan_ends_after_its_seconds() -> None:
    slow = "for all i in (1 .. 2000000000) : (for all j in (1 .. 2000000000) : (i + j > 0)) and $mark"
    rules = YaraRules({"p.yar": pack(slow)}, "v")
    with pytest.raises(ScanTimeout):
        rules.scan(b"mark" * 1000, externals={}, timeout_s=1)


def test_threads_share_one_set_and_keep_their_own_externals() -> None:
    rules = YaraRules({"p.yar": pack('$mark and filename == "yes"')}, "v")
    wrong: list[str] = []

    def work(name: str) -> None:
        for _ in range(200):
            if bool(ids(rules, filename=name)) != (name == "yes"):
                wrong.append(name)

    threads = [threading.Thread(target=work, args=(name,)) for name in ("yes", "no", "yes", "no")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_no_packs_at_all_find_nothing() -> None:
    assert ids(YaraRules({}, "v")) == []
