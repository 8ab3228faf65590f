"""Our one table of fields against the public list of ECS; every event gets a shape that both stores can keep."""

from __future__ import annotations

import csv
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cert.elastic_mapping import TYPES, events
from cert.fields import ECS, FIELDS, IN_ALL, OURS, shape
from cert.folding import fold, words
from cert.office import nested
from hudhud.event import Event, EventError, Value
from rules.logsource import ECS_ROOTS

NOW = datetime(2026, 11, 23, tzinfo=UTC)
FITS = {
    "keyword": {"keyword", "wildcard", "constant_keyword"},
    "text": {"keyword", "match_only_text", "wildcard"},
    "ip": {"ip"},
    "long": {"long", "integer", "float"},
    "double": {"float", "double", "scaled_float"},
    "boolean": {"boolean"},
    "date": {"date"},
    "kept": {"keyword"},
}
NOT_IN_ECS_YET = {"event.risk_score"}


def test_every_name_and_type_is_that_of_the_public_list(shared_data: Path) -> None:
    with (shared_data / "cert" / "ecs" / "fields.csv").open(encoding="utf-8") as file:
        public = {row["Field"]: row["Type"] for row in csv.DictReader(file)}
    wrong = {name: public.get(name) for name, kind in ECS.items() if public.get(name) not in FITS[kind]}
    assert not wrong


def test_our_own_names_stand_below_hudhud() -> None:
    assert [name for name in OURS if not name.startswith("hudhud.")] == ["tls.client.ja4"]  # ECS has none yet
    assert {name.partition(".")[0] for name in FIELDS} <= ECS_ROOTS | {"message", "tags", "session", "transaction"}
    assert set(IN_ALL) <= set(FIELDS)


def test_no_name_is_a_value_and_a_branch() -> None:
    assert not [name for name in FIELDS for other in FIELDS if other.startswith(f"{name}.")]
    assert events()["dynamic"] == "strict"
    assert set(TYPES) == set(FITS)


names = st.sampled_from([*FIELDS, "made.up", "hudhud.strange", "event", 'we"ird', "a..b", ""])
scalars = st.one_of(st.text(max_size=12), st.integers(), st.floats(allow_nan=False), st.booleans(), st.none())
values = st.one_of(scalars, st.lists(st.text(max_size=5), max_size=3), st.lists(st.integers(), max_size=3))


@given(st.dictionaries(names, values, max_size=6))
def test_every_event_gets_a_shape_and_keeps_it(fields: dict[str, Value]) -> None:
    once = shape(Event("e1", NOW, fields))
    assert shape(once) == once
    for name in once.fields:
        assert name in FIELDS or name.startswith("hudhud.other.")
    nested(once)


@pytest.mark.parametrize(
    ("name", "given", "kept"),
    [
        ("destination.port", "25", 25),
        ("destination.port", 25.0, 25),
        ("source.ip", "2001:DB8:0::1", "2001:db8::1"),
        ("tls.established", "true", True),
        ("event.created", "2026-11-23T10:00:00+03:00", "2026-11-23T07:00:00.000000Z"),
        ("rule.id", 7, "7"),
    ],
)
def test_a_value_that_means_the_same_is_kept_in_its_type(name: str, given: Value, kept: Value) -> None:
    assert shape(Event("e", NOW, {name: given})).fields[name] == kept


@pytest.mark.parametrize("year", [1969, 2140, 9999])
def test_a_time_that_is_none_is_an_error_with_its_place(year: int) -> None:
    with pytest.raises(EventError) as caught:
        shape(Event("e", datetime(year, 6, 1, tzinfo=UTC), {}))
    assert caught.value.place == "@timestamp"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("أحمد", "احمد"), ("مدرسة", "مدرسه"), ("مستشفى", "مستشفي"), ("الـعـربـيـة", "العربيه"), ("مُحَمَّد", "محمد"),
        ("٢٠٢٦", "2026"), ("۲۰۲۶", "2026"), ("ﻻ", "لا"), ("Résumé", "RESUME"), ("ﬁle", "file"), ("a\u202eb", "ab"),
        ("Straße", "STRASSE"),
    ],
)  # fmt: skip
def test_what_reads_the_same_folds_to_the_same(one: str, other: str) -> None:
    assert fold(one) == fold(other)


@given(st.text(max_size=40))
def test_folded_text_folds_to_itself(text: str) -> None:
    assert fold(fold(text)) == fold(text)
    assert " ".join(words(text)) == fold(text)
