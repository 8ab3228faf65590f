"""A query means the same in both stores, and what a plain reading says."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cert.cluster import Cluster
from cert.elastic import ElasticStore
from cert.query import parse
from cert.sqlite import SqliteStore
from cert.store import Query, QueryError, Store
from hudhud.clock import VirtualClock
from tests.cert.searched import LEAVES, NOW, VALUES, fits, some_events, some_query

EVENTS = some_events(1, 120)


@pytest.fixture
async def sqlite(tmp_path: Path) -> AsyncIterator[Store]:
    store = SqliteStore(tmp_path, VirtualClock(NOW))
    await store.add_events(EVENTS)
    yield store
    await store.close()


async def _ids(store: Store, text: str) -> list[str]:
    page = await store.search(Query(text, limit=len(EVENTS)))
    assert not page.after
    return [event.id for event in page.found]


def _expected(text: str) -> list[str]:
    node = parse(text, NOW)
    return [event.id for event in sorted(EVENTS, key=lambda e: (e.timestamp, e.id), reverse=True) if fits(node, event)]


async def test_each_kind_of_condition_means_what_it_says(sqlite: Store) -> None:
    for text in LEAVES:
        assert await _ids(sqlite, text) == _expected(text), text


async def test_conditions_together_mean_what_they_say(sqlite: Store) -> None:
    chance = random.Random(2)
    for _ in range(400):
        text = some_query(chance)
        assert await _ids(sqlite, text) == _expected(text), text


def test_the_conditions_are_worth_asking() -> None:
    dull = [text for text in LEAVES if not 0 < len(_expected(text)) < len(EVENTS)]
    assert set(dull) <= {"url.path:xxx*", "hudhud", "2001"}, dull


@pytest.mark.elastic
async def test_both_stores_give_the_same(sqlite: Store, elastic_url: str, prefix: str) -> None:
    elastic = ElasticStore(Cluster([elastic_url], prefix), VirtualClock(NOW))
    await elastic.prepare()
    await elastic.add_events(EVENTS)
    await elastic.settle()
    chance = random.Random(3)
    for text in (*LEAVES, *(some_query(chance) for _ in range(150))):
        assert await _ids(elastic, text) == await _ids(sqlite, text), text
    for text in (*LEAVES[::9], *(some_query(chance) for _ in range(8))):
        for field in (*list(VALUES)[:-2], "hudhud.odd", "hudhud.other.made.up"):
            if field in {"event.created", "event.risk_score"}:
                continue
            assert await elastic.counts(Query(text), field) == await sqlite.counts(Query(text), field), (text, field)
        assert await elastic.histogram(Query(text), "hour") == await sqlite.histogram(Query(text), "hour"), text
    await elastic.close()


@pytest.mark.parametrize(
    ("text", "place", "says"),
    [
        ("rul.id:x", 0, "did you mean rule.id"),
        ("rule.id:(x", 10, "not understood"),
        ("a OR rule.id:x~2", 13, "~ is not offered"),
        ("source.ip:300.1.1.1", 10, "is no address"),
        ("source.ip:[192.0.2.1 TO 192.0.2.9]", 10, "write a network"),
        ("event.original:x", 15, "cannot be searched"),
        ("a && b", 2, "write AND"),
        ("source.ip:*.1", 10, "only stand at the end"),
        ("*foo-bar*", 0, "more than one word"),
        ("@timestamp:soon", 11, "is no time"),
        ("(" * 100 + "a" + ")" * 100, 41, "nested deeper"),
        ("rule.id:a:b", 8, "a field within a field"),
        ("x" * 5000, 4000, "at most 4000 characters"),
    ],
)
def test_a_query_that_cannot_be_understood_says_where_and_what_to_write(text: str, place: int, says: str) -> None:
    with pytest.raises(QueryError) as caught:
        parse(text, NOW)
    assert says in caught.value.problem
    assert caught.value.position == place
