"""What a request asks for: ages and times as people write them, and search orders."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mail import orders
from mail.node import asked
from mail.node.asking import Refused
from mail.orders import Ledger, NotAllowed, Order, Status

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30m", 1800),
        ("2h", 7200),
        ("3D", 259_200),
        ("1w", 604_800),
        ("1d12h", 129_600),
        ("90", 90),
        ("0s", 0),
        (" 5m ", 300),
    ],
)
def test_an_age_is_written_as_people_do(text: str, seconds: float) -> None:
    assert asked.age(text) == seconds


@pytest.mark.parametrize("text", ["", "x", "-1", "nan", "inf", "1e99", "2 h ago", "h", "1h-", "99999999999d", "١٢ساعة"])
def test_what_is_no_age_is_told_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="30m, 2h, 3d"):
        asked.age(text)


NAMES = st.sampled_from([*asked.FILTERS, "limit", "cursor", "since", "until"])
VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.integers())


@given(st.dictionaries(NAMES, VALUES))
def test_no_request_fails_but_by_400(request: dict[str, object]) -> None:
    for read in (lambda: asked.filter_of(request, lambda _: None, lambda _: ()), lambda: asked.wanted_of(request),
                 lambda: asked.limit(request)):  # fmt: skip
        try:
            read()
        except Refused as refused:
            assert refused.status == 400
            assert refused.problem


def test_a_day_as_an_end_counts_whole() -> None:
    wanted = asked.wanted_of({"since": "2026-11-23", "until": "2026-11-23"})
    assert (wanted.since, wanted.until) == (datetime(2026, 11, 23, tzinfo=UTC), datetime(2026, 11, 24, tzinfo=UTC))


ORDER = Order("", "budget leak", "T-1", "asked by the auditor", "rima", NOW, NOW + timedelta(days=3))


@pytest.fixture
def ledger(tmp_path: Path):  # type: ignore[no-untyped-def]
    opened = Ledger(tmp_path / "orders" / "search.db")
    yield opened
    opened.close()


@pytest.mark.parametrize(
    "changed",
    [
        {"ticket": " "},
        {"reason": ""},
        {"subject": "!?"},
        {"ends": NOW},
        {"ends": NOW + timedelta(days=31)},
        {"subject": "x" * 1001},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_an_order_has_a_ticket_words_and_an_end(ledger: Ledger, changed: dict[str, object]) -> None:
    with pytest.raises(NotAllowed):
        ledger.request(replace(ORDER, **changed))  # type: ignore[arg-type]
    assert ledger.list() == []


def test_a_search_needs_a_second_person_and_ends(ledger: Ledger, tmp_path: Path) -> None:
    order = ledger.request(ORDER)
    path = tmp_path / "orders" / "search.db"
    with pytest.raises(NotAllowed, match="another person"):
        orders.find(path, order.id).may_search("rima", NOW)
    with pytest.raises(NotAllowed, match="of their own"):
        ledger.move(order.id, Status.APPROVED, "RIMA", NOW)
    ledger.move(order.id, Status.APPROVED, "omar", NOW)
    found = orders.find(path, order.id)
    found.may_search("rima", NOW)
    found.may_search("omar", NOW)
    for actor, moment in (("ziad", NOW), ("rima", NOW + timedelta(days=4))):
        with pytest.raises(NotAllowed):
            found.may_search(actor, moment)
    with pytest.raises(NotAllowed, match="say why"):
        ledger.move(order.id, Status.REVOKED, "omar", NOW)
    ledger.move(order.id, Status.REVOKED, "omar", NOW, "done")
    with pytest.raises(NotAllowed, match="revoked"):
        orders.find(path, order.id).may_search("rima", NOW)
    assert [(one.id, one.status) for one in ledger.list()] == [("SO-2026-0001", Status.REVOKED)]


@pytest.mark.parametrize("start", Status)
@pytest.mark.parametrize("to", Status)
def test_only_the_moves_of_the_table_are_made(start: Status, to: Status) -> None:
    allowed = (start, to) in orders.MOVES
    try:
        orders.moved(replace(ORDER, status=start), to, "omar", NOW, "why")
        assert allowed
    except NotAllowed:
        assert not allowed


def test_the_history_of_orders_cannot_be_rewritten(ledger: Ledger) -> None:
    ledger.request(ORDER)
    for change in ("UPDATE orders SET reason = ''", "DELETE FROM orders"):
        with pytest.raises(Exception, match="append-only"):
            ledger._database.commit_now(lambda c, q=change: c.execute(q))
