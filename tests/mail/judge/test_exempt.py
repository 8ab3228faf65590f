"""Exemptions: the cross product of states and acts, four eyes, the append-only ledger, and what a release carries."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path

import msgspec
import pytest

from hudhud import codec
from hudhud.database import DatabaseError
from mail.exempt import Exemption, ExemptionError, normal_scope, normal_sender, parse_exemptions
from mail.grants import duty
from mail.grants.asking import MOVES, REVIEWS, Act, NotAllowed, Request, Status, moved, requested
from mail.grants.ledger import Ledger, release_files
from mail.policy import PolicyError, parse_policy

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
DAY = timedelta(days=1)


def _wish(**changed: object) -> Exemption:
    values: dict[str, object] = {
        "id": "", "sender": "Amal@Finance.saba.example", "recipient": "partner.example", "starts": NOW,
        "ends": NOW + 30 * DAY,
        "reason": "loan negotiations", "document": "FIN-2026-114", "applicant": "amal",
    }  # fmt: skip
    return Exemption(**(values | changed))  # type: ignore[arg-type]


@pytest.mark.parametrize(("status", "act"), list(product(Status, Act)))
def test_every_act_in_every_status_does_what_the_table_says(status: Status, act: Act) -> None:
    request = Request(_wish(id="EX-1"), status, "FIN")
    if (status, act) in MOVES and act not in REVIEWS:  # these are break-glass exemptions' alone
        assert moved(request, act, "officer", NOW, "because").status is MOVES[status, act]
        assert act in request.moves()
    else:
        with pytest.raises(NotAllowed):
            moved(request, act, "officer", NOW, "because")


def test_two_distinct_people_approve_and_none_is_the_applicant() -> None:
    first = requested(_wish(), "FIN", NOW)
    with pytest.raises(NotAllowed, match="their own"):
        moved(first, Act.APPROVE, "AMAL", NOW)
    second = moved(first, Act.APPROVE, "officer1", NOW)
    assert second.status is Status.SECONDED
    with pytest.raises(NotAllowed, match="another person"):
        moved(second, Act.APPROVE, "Officer1", NOW)
    assert moved(second, Act.APPROVE, "officer2", NOW).exemption.approvers == ("officer1", "officer2")


@pytest.mark.parametrize(
    "changed",
    [
        {"ends": NOW}, {"ends": NOW - DAY, "starts": NOW - 2 * DAY}, {"ends": NOW + 400 * DAY}, {"reason": " "},
        {"document": ""}, {"recipient": "example"}, {"recipient": "*"}, {"sender": "@finance.saba.example"},
        {"max_size": 0}, {"starts": NOW - DAY}, {"starts": NOW + 400 * DAY, "ends": NOW + 401 * DAY},
        {"sender": "entity:*"}, {"recipient": "entity:FIN"}, {"owner": "dalia"},
        {"kind": "partner"}, {"kind": "partner", "owner": "dalia", "contact": "desk@un.example"},
        {"kind": "partner", "owner": "dalia", "contact": "x", "review": (NOW + 31 * DAY).date()},
        {"kind": "break-glass"}, {"kind": "break-glass", "recipient": "a@b.example", "sender": "entity:FIN"},
    ],
)  # fmt: skip
def test_nothing_open_ended_unreasoned_or_too_wide_is_asked_for(changed: dict[str, object]) -> None:
    with pytest.raises(NotAllowed):
        requested(_wish(**changed), "FIN", NOW)


def test_refusing_and_revoking_need_a_reason() -> None:
    request = requested(_wish(), "FIN", NOW)
    with pytest.raises(NotAllowed, match="say why"):
        moved(request, Act.REFUSE, "officer", NOW, " ")


def test_scopes_are_compared_in_one_form() -> None:
    assert normal_scope(" Amal@مالية.saba.example ") == "amal@xn--mgbe4fc1a.saba.example"
    assert normal_scope("Partner.Example.") == "partner.example"
    assert normal_sender(" Entity: fin") == "entity:FIN"


def test_the_ledger_keeps_everything_and_releases_what_is_in_force(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "exemptions.db")
    first = ledger.request(_wish(), "FIN", NOW)
    second = ledger.request(_wish(recipient="noor@freemail.example"), "FIN", NOW)
    assert (first.exemption.id, second.exemption.id) == ("EX-2026-0001", "EX-2026-0002")
    ledger.approve(first.exemption.id, "officer1", NOW)
    assert codec.decode(release_files(ledger, NOW)["exemptions.json"]) == []
    ledger.approve(first.exemption.id, "officer2", NOW)
    ledger.close()
    again = Ledger(tmp_path / "exemptions.db")
    live = parse_exemptions(release_files(again, NOW))
    assert [e.id for e in live] == ["EX-2026-0001"]
    assert live[0].sender == "amal@finance.saba.example"
    assert release_files(again, NOW + 31 * DAY)["exemptions.json"] == b"[]"
    again.revoke("EX-2026-0001", "officer3", NOW, "no longer needed")
    assert parse_exemptions(release_files(again, NOW)) == ()
    assert [entry[2] for entry in again.get("EX-2026-0001").history] == ["request", "approve", "approve", "revoke"]
    assert [r.status for r in again.list(entity="FIN")] == [Status.REVOKED, Status.REQUESTED]
    with pytest.raises(NotAllowed):
        again.get("EX-9")
    again.close()


def test_the_history_cannot_be_changed(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "exemptions.db")
    ledger.request(_wish(), "FIN", NOW)
    for statement in ("update history set actor = 'x'", "delete from history"):
        with pytest.raises((DatabaseError, Exception), match="append-only"):
            ledger._database.commit_now(lambda connection, s=statement: list(connection.execute(s)))
    ledger.close()


@pytest.mark.parametrize(
    "changed", [{"approvers": ("a",)}, {"approvers": ("amal", "b")}, {"ends": NOW - DAY}, {"ends": NOW + 500 * DAY}]
)
def test_a_release_that_breaks_the_rules_is_refused(changed: dict[str, object]) -> None:
    bad = _wish(id="EX-1", sender="amal@finance.saba.example", **({"approvers": ("a", "b")} | changed))
    with pytest.raises(ExemptionError, match="EX-1"):
        parse_exemptions({"exemptions.json": codec.canonical([bad])})


def test_a_release_that_is_no_list_of_exemptions_is_refused() -> None:
    with pytest.raises(ExemptionError, match=r"exemptions\.json"):
        parse_exemptions({"exemptions.json": b'[{"id": 5}]'})


def _glass(**changed: object) -> Request:
    wish = _wish(kind="break-glass", recipient="noor@partner.example", **changed)
    return requested(wish, "FIN", NOW)


def test_break_glass_is_one_approval_one_message_one_hour_from_the_approval() -> None:
    asked = _glass(ends=NOW + 300 * DAY)
    with pytest.raises(NotAllowed, match="their own"):
        moved(asked, Act.APPROVE, "amal", NOW)
    later = NOW + timedelta(hours=3)
    done = moved(asked, Act.APPROVE, "dalia", later)
    one = done.exemption
    assert (done.status, one.uses, one.starts, one.ends) == (Status.APPROVED, 1, later, later + timedelta(hours=1))
    assert parse_exemptions({"exemptions.json": codec.canonical([msgspec.structs.replace(one, id="EX-1")])})
    with pytest.raises(NotAllowed, match="is over"):
        moved(asked, Act.APPROVE, "dalia", NOW + timedelta(hours=25))


@pytest.mark.parametrize(("act", "status"), [(Act.REVIEW, Status.APPROVED), (Act.OBJECT, Status.REVOKED)])
def test_somebody_who_neither_asked_nor_approved_reviews_it_once(act: Act, status: Status) -> None:
    done = moved(_glass(), Act.APPROVE, "dalia", NOW)
    for who in ("Amal", "Dalia"):
        with pytest.raises(NotAllowed, match="another person"):
            moved(done, act, who, NOW, "I looked at it")
    with pytest.raises(NotAllowed, match="say why"):
        moved(done, act, "ziad", NOW)
    reviewed = moved(done, act, "ziad", NOW + DAY, "the flood")
    assert reviewed.status is status
    assert reviewed.reviewed is not None
    with pytest.raises(NotAllowed, match="waiting for a review"):
        moved(reviewed, act, "omar", NOW + DAY, "again")


def test_what_is_not_break_glass_is_not_reviewed() -> None:
    done = Request(_wish(id="EX-1", approvers=("a", "b")), Status.APPROVED, "FIN")
    with pytest.raises(NotAllowed, match="waiting for a review"):
        moved(done, Act.REVIEW, "omar", NOW, "nothing to see")


@pytest.mark.parametrize(
    "changed",
    [
        {"uses": None}, {"ends": NOW + timedelta(hours=2)}, {"sender": "finance.saba.example"},
        {"approvers": ("amal",)}, {"kind": "partner", "uses": None, "approvers": ("a", "b")},
        {"kind": "ordinary", "approvers": ("a", "b"), "uses": 2},
    ],
)  # fmt: skip
def test_a_release_with_a_wider_break_glass_or_an_ownerless_partner_is_refused(changed: dict[str, object]) -> None:
    values: dict[str, object] = {
        "id": "EX-1", "kind": "break-glass", "uses": 1, "ends": NOW + timedelta(hours=1), "approvers": ("dalia",),
        "sender": "amal@finance.saba.example", "recipient": "noor@partner.example",
    }  # fmt: skip
    assert parse_exemptions({"exemptions.json": codec.canonical([_wish(**values)])})
    with pytest.raises(ExemptionError, match="EX-1"):
        parse_exemptions({"exemptions.json": codec.canonical([_wish(**(values | changed))])})


@pytest.mark.parametrize(
    ("lines", "key"),
    [
        ('levels = ["a", "A"]', "classification.levels"),
        ('levels = ["a"]\nunmarked = "b"', "classification.unmarked"),
        ('levels = ["a"]\n[classification.marks]\nx = "b"', "classification.marks.x"),
        ('levels = ["a"]\nheaders = ["x y"]', "classification.headers"),
        ('level = ["a"]', "classification.level"),
    ],
)
def test_a_mistake_in_the_levels_is_named_with_its_line(lines: str, key: str) -> None:
    with pytest.raises(PolicyError) as caught:
        parse_policy({"policy.toml": f'version = "1"\n[classification]\n{lines}\n'.encode()})
    assert caught.value.key == key
    assert caught.value.line >= 2


def test_a_mistake_in_the_roster_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "duty.toml"
    path.write_text('[[duty]]\nfrom = 2026-11-24T06:00:00Z\nuntil = 2026-11-23T06:00:00Z\nfirst = "dalia"\n')
    with pytest.raises(duty.RosterError, match=r"duty.toml:1: duty\[0\]"):
        duty.load(path)
