"""Events: flat inside, nested outside, and the same either way."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hudhud import codec
from hudhud.event import (
    Event,
    EventError,
    Value,
    document,
    encode,
    event_id,
    flatten,
    format_time,
    import_id,
    nest,
    parse,
    parse_time,
)

NAMES = st.from_regex(r"[a-z]{1,3}(\.[a-z]{1,3}){0,3}", fullmatch=True)
VALUES = st.one_of(
    st.text(max_size=5), st.integers(), st.booleans(), st.lists(st.text(max_size=3), min_size=1, max_size=3)
)


@given(st.dictionaries(NAMES, VALUES, max_size=8))
def test_nesting_and_flattening_give_the_same_fields_or_name_the_clash(fields: dict[str, object]) -> None:
    try:
        nested = nest(fields)
    except EventError as error:
        assert error.place in fields
    else:
        assert flatten(nested) == fields


def test_a_document_read_again_is_the_same_event() -> None:
    event = Event("e1", datetime(2026, 11, 23, 9, 0, 0, 5, tzinfo=UTC), {"event.id": "e1", "source.ip": "192.0.2.1"})
    assert parse(document(event)) == event


def test_objects_in_a_list_become_lists_side_by_side() -> None:
    assert flatten({"a": [{"b": 1, "c": "x"}, {"b": 2}]}) == {"a.b": [1, 2], "a.c": ["x"]}


@pytest.mark.parametrize(
    ("document", "place"),
    [
        ({}, "@timestamp"),
        ({"@timestamp": "yesterday"}, "@timestamp"),
        ({"@timestamp": "2026-11-23T09:00:00"}, "@timestamp"),
        ({"@timestamp": "2026-11-23T09:00:00Z"}, "event.id"),
    ],
)
def test_what_is_no_event_is_named(document: dict[str, object], place: str) -> None:
    with pytest.raises(EventError) as caught:
        parse(document)
    assert caught.value.place == place


def test_a_document_nested_without_end_is_an_error_and_no_recursion() -> None:
    deep: dict[str, object] = {}
    for _ in range(100):
        deep = {"a": deep}
    with pytest.raises(EventError, match="nested deeper"):
        flatten(deep)


def test_ids_are_of_source_and_sequence_and_nothing_else() -> None:
    assert event_id("relay-1", 23) == event_id("relay-1", 23)
    assert len({event_id("relay-1", 23), event_id("relay-12", 3), import_id("relay-1", "f", 2, b"3")}) == 3


@given(st.datetimes(timezones=st.just(UTC)))
def test_times_survive_text(moment: datetime) -> None:
    assert parse_time(format_time(moment)) == moment


@pytest.mark.parametrize("text", ["9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00"])
def test_a_time_that_has_no_utc_is_refused_in_words(text: str) -> None:
    with pytest.raises(EventError, match="is no time in UTC"):
        parse_time(text)


@given(
    st.dictionaries(
        st.sampled_from(["event.kind", "event.type", "source.ip", "a", "x.y.z", "x.y.w", "x.v", "email.from.address"]),
        st.none() | st.text() | st.booleans() | st.integers(-(2**53), 2**53) | st.lists(st.text(), max_size=3),
    )
)
def test_encoding_flat_fields_is_nesting_them_and_encoding_that(fields: dict[str, Value]) -> None:
    moment = datetime(2026, 11, 24, 3, 4, 5, tzinfo=UTC)
    there = {name: value for name, value in fields.items() if value is not None}
    assert codec.decode(encode(fields, moment)) == nest(there) | {"@timestamp": format_time(moment)}
    with pytest.raises(EventError):
        encode({"source": "x", "source.ip": "192.0.2.1"}, moment)
