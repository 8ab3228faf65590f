"""Sigma rules fit what they say, and what they cannot say here is an error with file and line."""

from __future__ import annotations

import uuid
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest

from rules.rule import RuleError
from rules.sigma import Compare, CorrelationRule, Expression, SigmaRule, parse_event_rules

HEAD = """title: A rule
id: {id}
name: {name}
status: test
logsource: {{product: hudhud, service: mail}}
detection:
{detection}
level: low
"""


def rule(detection: str, name: str = "one") -> SigmaRule:
    indented = "\n".join("    " + line for line in detection.strip("\n").splitlines())
    text = HEAD.format(id=uuid.uuid5(uuid.NAMESPACE_OID, name), name=name, detection=indented)
    (parsed,), _ = parse_event_rules({"a.yml": text.encode()})
    return parsed


def fits(selection: str, event: dict[str, object], condition: str = "selection") -> bool:
    lines = "\n".join("    " + line for line in selection.strip("\n").splitlines())
    return rule(f"selection:\n{lines}\ncondition: {condition}").matches({"event.dataset": "hudhud.mail", **event})


@pytest.mark.parametrize(
    ("selection", "value", "expected"),
    [
        ("url.path: abc", "ABC", True),
        ("url.path: abc", "xabc", False),
        ("url.path|cased: abc", "ABC", False),
        ("url.path|cased: abc", "abc", True),
        ("url.path|contains: abc", "xABCx", True),
        ("url.path|contains|cased: abc", "xABCx", False),
        ("url.path|startswith: ab", "ABx", True),
        ("url.path|startswith: ab", "xab", False),
        ("url.path|endswith: ab", "xAB", True),
        ("url.path|endswith: ab", "abx", False),
        ("url.path: a*c", "AxxC", True),
        ("url.path: a*c", "xAxxC", False),
        ("url.path: a?c", "abc", True),
        ("url.path: a?c", "abbc", False),
        (r"url.path: 'a\*c'", "a*c", True),
        (r"url.path: 'a\*c'", "abc", False),
        (r"url.path: 'a\\*'", "a\\b", True),
        (r"url.path|contains: '\temp\'", "c:\\TEMP\\x", True),
        ("url.path: '*'", "", True),
        ("url.path: ''", "", True),
        ("url.path: ''", "x", False),
        ("url.path: [a, b]", "B", True),
        ("url.path|contains|all: [a, b]", "xbxa", True),
        ("url.path|contains|all: [a, b]", "xbx", False),
        ("url.path|re: '^[0-9]{3}$'", "123", True),
        ("url.path|re: 'a.c'", "xxabcxx", True),
        ("url.path|re: 'abc'", "ABC", False),
        ("url.path|re|i: 'abc'", "ABC", True),
        ("url.path|re|s: 'a.c'", "a\nc", True),
        ("url.path|re|m: '^b$'", "a\nb", True),
        ("url.path|re|startswith: 'b'", "ab", False),
        ("url.path|re|endswith: 'b'", "ab", True),
        ("source.ip|cidr: 192.0.2.0/24", "192.0.2.77", True),
        ("source.ip|cidr: 192.0.2.0/24", "198.51.100.1", False),
        ("source.ip|cidr: 2001:db8::/32", "2001:db8::1", True),
        ("source.ip|cidr: 2001:db8::/32", "no address", False),
        ("url.path|base64: foobar", "Zm9vYmFy", True),
        ("url.path|base64offset|contains: foobar", "xxZvb2Jhcxx", True),
        ("url.path|wide|base64offset|contains: ping", "cABpAG4AZw", True),
        ("url.path|utf16|base64: A", "//5BAA==", True),
        ("url.path|windash|contains: ' -f '", "x /f y", True),
        ("url.path|windash|contains: ' -f '", "x –f y", True),  # en dash
        ("url.path|neq: abc", "x", True),
        ("url.path|neq: abc", "ABC", False),
        ("destination.port: 80", 80, True),
        ("destination.port: 80", "80", True),
        ("destination.port: 80", 81, False),
        ("destination.port|gt: 80", 81, True),
        ("destination.port|gte: 80", 80, True),
        ("destination.port|lt: 80", 80, False),
        ("destination.port|lte: 80", "80", True),
        ("destination.port|gt: 80", "many", False),
        ("destination.port|gt: 80", True, False),
        ("tls.established: true", True, True),
        ("tls.established: true", "TRUE", True),
        ("tls.established: false", True, False),
        ("url.path: null", "", False),
        ("url.path|exists: true", "x", True),
        ("url.path|exists: false", "x", False),
        ("event.created|hour: 3", "2026-11-23T03:10:00Z", True),
        ("event.created|hour|gte: 4", "2026-11-23T03:10:00Z", False),
        ("event.created|week: 48", "2026-11-23T03:10:00Z", True),
        ("event.created|minute: 3", "no time", False),
    ],
)
def test_each_modifier_says_what_the_standard_says(selection: str, value: object, expected: bool) -> None:
    field = selection.split(":", 1)[0].split("|", 1)[0]
    assert fits(selection, {field: value}) is expected


def test_any_element_of_a_list_is_enough() -> None:
    assert fits("rule.id|startswith: HY-", {"rule.id": ["H-NAT-02", "HY-0101"]})
    assert not fits("rule.id|startswith: HY-", {"rule.id": []})
    assert fits("rule.id: null", {"rule.id": []})


def test_an_absent_field_is_null_and_fits_no_text() -> None:
    assert fits("url.path: null", {})
    assert fits("url.path|exists: false", {})
    assert not fits("url.path|contains: a", {})
    assert not fits("url.path: '*'", {})
    assert fits("url.path: x", {}, "not selection")


def test_a_field_reference_compares_two_fields() -> None:
    assert fits("source.ip|fieldref: destination.ip", {"source.ip": "192.0.2.1", "destination.ip": "192.0.2.1"})
    assert not fits("source.ip|fieldref: destination.ip", {"source.ip": "192.0.2.1", "destination.ip": "192.0.2.2"})
    assert fits("url.domain|fieldref|endswith: host.name", {"url.domain": "a.b.example", "host.name": "B.example"})


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("one and two", False),
        ("one or two", True),
        ("one and not two", True),
        ("not (one and two)", True),
        ("1 of them", True),
        ("all of them", False),
        ("any of t*", False),
        ("not 1 of t*", True),
        ("all of o* and not all of t*", True),
    ],
)
def test_conditions_join_as_they_say(condition: str, expected: bool) -> None:
    parsed = rule(f"one:\n    url.path: a\ntwo:\n    url.path: b\ncondition: {condition}")
    assert parsed.matches({"event.dataset": "hudhud.mail", "url.path": "a"}) is expected


def test_a_map_wants_all_and_a_list_of_maps_wants_one() -> None:
    event: dict[str, object] = {"url.path": "a", "url.domain": "x"}
    assert not fits("url.path: a\nurl.domain: y", event)
    assert fits("- url.path: a\n- url.domain: y", event)


def test_keywords_are_found_in_any_field() -> None:
    words = rule("words:\n    - needle\n    - 'two*parts'\ncondition: words")
    assert words.matches({"event.dataset": "hudhud.mail", "event.reason": "a NEEDLE here"})
    assert words.matches({"event.dataset": "hudhud.mail", "rule.id": ["x", "two separate parts"]})
    assert not words.matches({"event.dataset": "hudhud.mail", "event.reason": "hay"})
    everyone = rule("words:\n    '|all':\n        - one\n        - two\ncondition: words")
    assert everyone.matches({"event.dataset": "hudhud.mail", "a.b": "one", "c.d": "two"})
    assert not everyone.matches({"event.dataset": "hudhud.mail", "a.b": "one"})


def test_the_log_source_decides_which_events_are_asked() -> None:
    parsed = rule("selection:\n    url.path: a\ncondition: selection")
    assert not parsed.matches({"event.dataset": "hudhud.dns", "url.path": "a"})


def test_public_log_sources_are_mapped_to_ecs() -> None:
    text = b"""title: T
id: 5e43f592-a207-5cd5-8244-0065aa100c9f
logsource: {category: proxy}
detection:
    selection:
        c-uri|contains: /gate.php
        cs-method: POST
    condition: selection
"""
    (parsed,), _ = parse_event_rules({"p.yml": text})
    assert parsed.datasets is not None
    assert "hudhud.http" in parsed.datasets
    assert parsed.matches({"event.dataset": "hudhud.http", "url.path": "/a/gate.php", "http.request.method": "post"})


@pytest.mark.parametrize(
    ("detection", "line", "problem"),
    [
        ("selection:\n    url.path|expand: '%names%'\ncondition: selection", 7, "expand"),
        ("selection:\n    url.path|strange: a\ncondition: selection", 7, "strange"),
        ("selection:\n    url.path|re: '('\ncondition: selection", 7, "Regular expression"),
        ("selection:\n    source.ip|cidr: 192.0.2.1/24\ncondition: selection", 7, "CIDR"),
        ("selection:\n    NotEcs: a\ncondition: selection", 7, "no ECS name"),
        ("selection:\n    url.path: a\ncondition: other", 9, "other"),
        ("selection:\n    url.path: a\ncondition: selection | count() > 3", 9, "pipe"),
        ("selection:\n    url.path: a\ncondition: 1 of x*", 9, "x*"),
        ("selection:\n    url.path: a\n    url.path: b\ncondition: selection", 9, "twice"),
        ("selection:\n    url.path|gt: a\ncondition: selection", 7, "incompatible"),
    ],
)
def test_the_unsupported_is_an_error_with_file_and_line(detection: str, line: int, problem: str) -> None:
    with pytest.raises(RuleError) as found:
        rule(detection)
    assert (found.value.file, problem in found.value.problem) == ("a.yml", True), str(found.value)
    assert abs(found.value.line - line) <= 1, str(found.value)


@pytest.mark.parametrize(
    "data",
    [b"\xff\xfe", b"a: [", b"- 1", b"title: x", b"&a [*a]", b"logsource: 3\ndetection: 4\ntitle: x", b"a: b: c"],
)
def test_what_is_no_rule_is_a_rule_error(data: bytes) -> None:
    with pytest.raises(RuleError):
        parse_event_rules({"bad.yml": data})


CORRELATION = """title: Many
id: 7e43f592-a207-5cd5-8244-0065aa100c9f
name: many
correlation:
    type: {type}
    rules: [one]
    group-by: [source.ip]
    timespan: 15m
{condition}
level: high
"""


def correlation(kind: str, condition: str, extra: str = "") -> CorrelationRule:
    base = HEAD.format(
        id=uuid.uuid5(uuid.NAMESPACE_OID, "one"), name="one", detection="    s:\n        url.path: a\n    condition: s"
    )
    text = CORRELATION.format(type=kind, condition=condition) + extra
    _, (parsed,) = parse_event_rules({"a.yml": base.encode(), "b.yml": text.encode()})
    return parsed


@pytest.mark.parametrize(
    ("kind", "condition", "expected"),
    [
        ("event_count", "{gte: 3}", Compare("gte", 3)),
        ("value_count", "{field: organization.id, gt: 2}", Compare("gt", 2, ("organization.id",))),
        ("temporal", "", None),
        ("temporal_ordered", "", None),
        ("value_sum", "{field: source.bytes, lt: 5}", Compare("lt", 5, ("source.bytes",))),
        ("value_avg", "{field: source.bytes, lte: 2.5}", Compare("lte", 2.5, ("source.bytes",))),
        ("value_percentile", "{field: source.bytes, gte: 9, percentile: 95}", Compare("gte", 9, ("source.bytes",), 95)),
    ],
)
def test_all_seven_correlation_types_are_read(kind: str, condition: str, expected: Compare | None) -> None:
    parsed = correlation(kind, f"    condition: {condition}" if condition else "")
    assert parsed.type == kind
    assert parsed.timespan == timedelta(minutes=15)
    assert parsed.group_by == ("source.ip",)
    assert parsed.rules == (str(uuid.uuid5(uuid.NAMESPACE_OID, "one")),)
    if expected is not None:
        assert parsed.condition == expected


@pytest.mark.parametrize(
    ("kind", "condition"),
    [
        ("value_median", "    condition: {field: a.b, gte: 1}"),
        ("value_percentile", "    condition: {field: source.bytes, gte: 1}"),
        ("value_sum", "    condition: {gte: 1}"),
        ("event_count", ""),
        ("event_count", "    condition: {gte: 1, lt: 3}"),
        ("temporal_ordered", "    condition: one and one"),
        ("strange", "    condition: {gte: 1}"),
    ],
)
def test_a_correlation_that_cannot_be_run_is_an_error(kind: str, condition: str) -> None:
    with pytest.raises(RuleError):
        correlation(kind, condition)


def test_a_temporal_expression_says_which_rules_must_be_seen() -> None:
    expression = Expression("and", (Expression("rule", rule="a"), Expression("not", (Expression("rule", rule="b"),))))
    assert expression.holds({"a"})
    assert not expression.holds({"a", "b"})


def test_a_rule_that_a_correlation_counts_stops_alerting_unless_it_generates() -> None:
    def alerts(extra: str) -> bool:
        base = HEAD.format(id=uuid.uuid4(), name="one", detection="    s:\n        url.path: a\n    condition: s")
        text = CORRELATION.format(type="event_count", condition=f"    condition: {{gte: 3}}{extra}")
        (parsed,), _ = parse_event_rules({"a.yml": base.encode(), "b.yml": text.encode()})
        return parsed.alerts

    assert not alerts("")
    assert alerts("\n    generate: true")


def test_every_public_rule_loads_or_names_what_it_lacks(shared_data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    loaded, refused = 0, Counter[str]()
    for path in sorted((shared_data / "cert" / "sigma" / "rules").rglob("*.yml")):
        try:
            rules, _ = parse_event_rules({path.name: path.read_bytes()})
        except RuleError as error:
            assert error.file == path.name
            assert error.line > 0
            refused[error.problem.split(" ")[0]] += 1
            continue
        loaded += 1
        for one in rules:
            for dataset in one.datasets or {"hudhud.http"}:
                assert one.matches({"event.dataset": dataset}) in (True, False)
    with capsys.disabled():
        print(f"\npublic Sigma rules: {loaded} loaded, {sum(refused.values())} named errors")
    assert loaded >= 75
    assert loaded + sum(refused.values()) >= 100
