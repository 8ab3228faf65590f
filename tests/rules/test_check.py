"""What may not be released is refused, each fault with file and line."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from rules.check import Checked, check
from rules.indicator import words
from rules.ruleset import library

RULE = """rule test
{
    meta:
        id = "HY-9001"
        version = "1"
        title_en = "A test rule"
        title_ar = "قاعدة اختبار"
        disposition = "hold"
        threat = "executable"
    strings:
        $a = { 4D 5A 90 00 }
    condition:
        $a
}
"""
SAMPLES = """[[sample]]
name = "yes"
match = ["HY-9001"]
data = { hex = "4d5a9000" }

[[sample]]
name = "no"
silent = ["HY-9001"]
data = "nothing"
"""
EVENT = """title: A test rule
id: 5e43f592-a207-5cd5-8244-0065aa100c90
logsource: {product: hudhud, service: mail}
detection:
    selection:
        SELECTION
    condition: CONDITION
level: low
hudhud: {id: HE-9001, version: "1", threat: executable, title_ar: قاعدة اختبار}
"""


def files(rule: str = RULE, samples: str = SAMPLES) -> dict[str, bytes]:
    return {"mail/test.yar": rule.encode(), "mail/test.samples.toml": samples.encode()}


def faults(checked: Checked) -> str:
    return "\n".join(str(remark) for remark in checked.remarks if remark.grave)


def judged(chosen: Mapping[str, bytes], previous: Mapping[str, bytes] | None = None) -> Checked:
    return check(chosen, previous, measure=False)


def test_a_right_rule_passes() -> None:
    assert judged(files()).good


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("$a\n}", "$b\n}", ': undefined string "$b"'),
        ("قاعدة اختبار", "no Arabic", "Arabic title"),
        ("A test rule", "x", "English title"),
        ("HY-9001", "nine", "an id is"),
        ('version = "1"', 'version = "new"', "numbers with dots"),
        ('threat = "executable"', 'threat = "opinion"', "closed list"),
        ('disposition = "hold"', 'disposition = "burn"', "disposition is one of"),
    ],
)
def test_a_wrong_rule_is_named_with_its_place(old: str, new: str, problem: str) -> None:
    checked = judged(files(RULE.replace(old, new), SAMPLES))
    assert not checked.good
    assert problem in faults(checked)
    assert "mail/test.yar:" in faults(checked)


@pytest.mark.parametrize(
    ("samples", "problem"),
    [
        (SAMPLES.replace("4d5a9000", "4d5a9001"), "HY-9001 must match the sample 'yes'"),
        (SAMPLES.replace('"nothing"', '{ hex = "4d5a9000" }'), "HY-9001 must not match the sample 'no'"),
        (SAMPLES.partition("\n\n")[0], "has no sample that it must not match"),
        ("", "has no sample that it must match"),
        (SAMPLES.replace("4d5a9000", "xx"), "mail/test.samples.toml:1: not hexadecimal"),
        (SAMPLES.replace('silent = ["HY-9001"]', 'silent = ["HY-9002"]'), "names a rule that is not there"),
        (SAMPLES + "\n[[sample]]\nname = 3", "a sample has a name, and rules"),
        (SAMPLES + "\nwrong = 1", "unknown key"),
        ("= 3", "not TOML"),
    ],
)
def test_samples_that_do_not_hold_are_named(samples: str, problem: str) -> None:
    assert problem in faults(judged(files(samples=samples)))


def test_two_rules_may_not_share_an_id() -> None:
    chosen = files() | {"mail/other.yar": RULE.encode()}
    assert "the id HY-9001 is taken" in faults(judged(chosen))


def test_a_changed_rule_needs_a_higher_version() -> None:
    changed = RULE.replace("4D 5A 90 00", "4D 5A 90 00 ")
    assert judged(files(changed), files()).good  # blanks change nothing
    changed = RULE.replace('disposition = "hold"', 'disposition = "tag"')
    assert "its version must grow beyond 1" in faults(judged(files(changed), files()))
    assert judged(files(changed.replace('version = "1"', 'version = "1.1"')), files()).good
    older = RULE.replace('version = "1"', 'version = "0"')
    assert "its version must grow beyond 1" in faults(judged(files(older), files()))


def test_a_changed_private_rule_changes_those_that_call_it() -> None:
    calling = "private rule z { condition: filesize < 900 }\n" + RULE.replace("        $a\n", "        $a and z\n")
    changed = calling.replace("< 900", "< 901")
    assert "its version must grow" in faults(judged(files(changed), files(calling)))


def lure(strings: str, condition: str) -> str:
    return RULE.replace("$a = { 4D 5A 90 00 }", strings).replace("        $a\n", f"        {condition}\n")


def lure_samples(data: str, rest: str = 'part = "body"') -> str:
    return (
        f'[[sample]]\nname = "yes"\nmatch = ["HY-9001"]\ndata = """{data}"""\n{rest}\n\n' + SAMPLES.partition("\n\n")[2]
    )


@pytest.mark.parametrize(
    ("strings", "condition", "data", "rest"),
    [
        ('$a = "strike"', "$a", "the strike begins", 'part = "body"'),
        ('$a = "إضراب"', "$a", "يبدأ إضراب المعلمين غدًا", 'part = "body"'),
        ('$a = "Salim Haddad"', "$a", "Dear Salim Haddad", 'part = "body"'),
        ('$a = "salim@freemail.example"', "$a", "to salim@freemail.example", 'part = "header"'),
        ('$a = "strike"\n        $b = "<html"', "$a and $b", "<html><p>strike</p></html>", 'part = "body"'),
        ('$a = "strike"', '$a and extension == "docx"', "the strike", 'filename = "strike.docx"'),
        ("$a = /str[iy]ke/ nocase", "$a", "the Strike begins", 'part = "body"'),
        ('$a = "x"', 'filename contains "strike" or ($a and false)', "", 'filename = "strike plan.pdf"'),
    ],
)
def test_a_mail_rule_for_names_or_topics_alone_cannot_be_released(
    strings: str, condition: str, data: str, rest: str
) -> None:
    checked = judged(files(lure(strings, condition), lure_samples(data, rest)))
    assert not checked.good
    assert "a rule needs a technical sign" in faults(checked)


def test_the_same_words_with_a_technical_sign_can() -> None:
    strings = '$a = "strike"\n        $b = /https?:\\/\\/(\\d{1,3}\\.){3}\\d{1,3}/'
    data = "the strike: http://203.0.113.9/login"
    checked = judged(files(lure(strings, "$a and $b"), lure_samples(data)))
    assert checked.good, faults(checked)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("<b>Hello</b> World", "Hello World"),
        ("see http://203.0.113.9/x now", "see now"),
        ("Sub AutoOpen() WScript.Shell x_y $a", "Sub"),
        ("السيّد أحمد، 0991-234567", "السيّد أحمد، 0991-234567"),
        ("mail noor@freemail.example today", "mail noor@freemail.example today"),
    ],
)
def test_words_are_names_and_language_without_code(text: str, left: str) -> None:
    assert words(text) == left


def event(selection: str, condition: str = "selection") -> dict[str, bytes]:
    text = EVENT.replace("SELECTION", selection).replace("CONDITION", condition)
    return {"events/test.yml": text.encode()}


@pytest.mark.parametrize(
    ("selection", "condition", "alone"),
    [
        ("email.subject|contains: strike", "selection", True),
        ("email.from.address: salim@x.example", "selection", True),
        ("email.from.address: salim@x.example\n        organization.id: FIN", "selection", True),
        ("email.from.address: salim@x.example\n        event.action: accepted", "selection", True),
        ("email.from.address: salim@x.example\n    other:\n        rule.id: HY-0101", "selection or other", True),
        ("email.from.address: salim@x.example\n    other:\n        rule.id: HY-0101", "selection and not other", True),
        ("email.from.address: salim@x.example\n    other:\n        rule.id: HY-0101", "selection and other", False),
        ("event.action: refused\n        rule.id: H-NAT-02", "selection", False),
        ("organization.id: FIN", "selection", True),
        ("rule.id: null", "selection", True),
        ("event.action: rule-stopped", "selection", False),
        ("- strike", "selection", True),
    ],
)
def test_an_event_rule_for_names_or_topics_alone_cannot_be_released(
    selection: str, condition: str, alone: bool
) -> None:
    assert ("can match on who, where or what about alone" in faults(judged(event(selection, condition)))) is alone


def test_a_correlation_may_not_group_by_what_people_write_about() -> None:
    correlation = """title: Many of one subject
id: 7e43f592-a207-5cd5-8244-0065aa100c90
correlation:
    type: event_count
    rules: [5e43f592-a207-5cd5-8244-0065aa100c90]
    group-by: [email.subject]
    timespan: 1h
    condition: {gte: 3}
level: low
hudhud: {id: HC-9001, version: "1", threat: campaign, title_ar: موضوع واحد}
"""
    chosen = event("rule.id: HY-0101") | {"events/many.yml": correlation.encode()}
    assert "counts or groups by email.subject" in faults(judged(chosen))


def test_a_file_of_another_kind_is_no_part_of_a_release() -> None:
    assert "a release holds" in faults(judged(files() | {"run.sh": b"echo"}))


def test_every_broken_file_is_named_at_once() -> None:
    checked = judged({"a.yar": b"rule", "b.yar": b"rule x {", "c.yml": b"a: ["})
    assert {remark.file for remark in checked.remarks} == {"a.yar", "b.yar", "c.yml"}


def test_a_slow_rule_is_named_and_may_still_be_released() -> None:
    slow = RULE.replace("        $a\n", "        for any i in (1 .. 900000) : (uint8(i % filesize) == 256) or $a\n")
    checked = check(files(slow))
    assert checked.good
    assert any("ms/MiB" in remark.problem for remark in checked.remarks)


def test_the_check_of_the_library_says_how_much_it_saw() -> None:
    checked = judged(library())
    assert checked.ruleset is not None
    assert checked.samples > len(checked.ruleset.yara.rules)
