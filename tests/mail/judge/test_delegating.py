"""Delegations, roles and departures: who may send as whom, because of whom, until when, and what ends."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hudhud import toml
from mail import accounts, delegating
from mail.accounts import Accounts, AccountsError, App, Delegation, Row
from mail.delegating import NotAllowed
from mail.facts import may_use
from mail.live import demo_rules

NOW = datetime(2026, 11, 24, 8, 0, tzinfo=UTC)
LATER = NOW + timedelta(days=30)
REGISTRY = demo_rules().policy.registry
AMAL, YUSUF, RANIA = (f"{name}@finance.saba.example" for name in ("amal", "yusuf", "rania"))
MINISTER, PRESS = "minister@finance.saba.example", "press@finance.saba.example"
SALIM = "salim@interior.saba.example"


def people(*delegations: Delegation) -> Accounts:
    app = App(id="k7f3qa", label="telephone", hash="$x$", created=NOW, expires=LATER)
    return Accounts(
        [
            Row(address=AMAL, entity="FIN", password="$argon2id$x", aliases=("a.haddad@finance.saba.example",)),
            Row(address=YUSUF, entity="FIN", password="$argon2id$y"),
            Row(address=RANIA, entity="FIN", password="$argon2id$z", scram="SCRAM-SHA-256$x", app=(app,)),
            Row(address=SALIM, entity="INT", password="$argon2id$s"),
            Row(address=MINISTER, entity="FIN", kind="role", aliases=("office@finance.saba.example",)),
        ],
        delegations,
    )


def lent(address: str = MINISTER, to: str = AMAL, owner: str = YUSUF, ends: datetime = LATER) -> Delegation:
    return Delegation(address=address, to=to, owner=owner, ends=ends)


def test_a_delegation_names_who_answers_for_it_and_when_it_ends() -> None:
    after = delegating.given(people(), lent(), REGISTRY, NOW, 366)
    assert after.delegations == (lent(),)
    sooner = lent(ends=NOW + timedelta(days=1))
    assert delegating.given(after, sooner, REGISTRY, NOW, 366).delegations == (sooner,)  # in its place


@pytest.mark.parametrize(
    ("wish", "why"),
    [
        (lent(owner="nobody@finance.saba.example"), "a person answers"),
        (lent(owner=MINISTER), "a person answers"),
        (lent(owner=SALIM), "its owner"),
        (lent(to=SALIM), "of the same body"),
        (lent(to="known.to.ldap@interior.saba.example"), "of the same body"),
        (lent(owner=AMAL), "themself"),
        (lent(to=MINISTER, address=PRESS), "a role"),
        (lent(address=AMAL), "belongs to"),
        (lent(address="a.haddad@finance.saba.example"), "belongs to"),
        (lent(address="x@freemail.example"), "no domain"),
        (lent(to="x@freemail.example"), "no domain"),
        (lent(ends=NOW), "over already"),
        (lent(ends=NOW + timedelta(days=367)), "at most 366 days"),
    ],
)
def test_what_the_rules_of_delegations_forbid_is_said(wish: Delegation, why: str) -> None:
    with pytest.raises(NotAllowed, match=why):
        delegating.given(people(), wish, REGISTRY, NOW, 366)


@pytest.mark.parametrize("wish", [lent(to=SALIM), lent(to=SALIM, owner="known.to.ldap@finance.saba.example")])
def test_a_delegation_across_bodies_in_the_file_is_refused_with_its_place(tmp_path: Path, wish: Delegation) -> None:
    path = tmp_path / accounts.FILE
    with pytest.raises(AccountsError, match=r"accounts\.toml.*delegation\[0\]\.to.*of the same body") as caught:
        accounts.write(path, people(), [wish])
    assert caught.value.line > 1
    assert not path.exists()


def test_a_delegation_ends_by_itself_and_by_an_act() -> None:
    known = people(lent(PRESS))
    row = known.rows[AMAL]
    assert PRESS in known.account(row, NOW).delegated
    assert PRESS not in known.account(row, LATER).delegated
    assert delegating.ended(known, PRESS, "a.haddad@finance.saba.example").delegations == ()
    with pytest.raises(NotAllowed, match="is not delegated"):
        delegating.ended(known, PRESS, YUSUF)


def test_who_acts_for_a_role_sends_as_any_of_its_addresses_and_stays_herself() -> None:
    known = people(lent())
    amal = known.account(known.rows[AMAL], NOW)
    assert amal.kind == "person"
    acting = amal.as_role("office@finance.saba.example")
    assert (acting.kind, acting.name, acting.person, acting.acts, acting.hears) == ("role", MINISTER, AMAL, AMAL, AMAL)
    for address in (MINISTER, "office@finance.saba.example", AMAL):
        assert may_use(acting, address, REGISTRY)
        assert may_use(amal, address, REGISTRY)
    assert not may_use(acting, YUSUF, REGISTRY)
    assert amal.as_role(AMAL) is amal


@pytest.mark.parametrize("row", ['kind = "role"', "left = 2026-11-01T00:00:00Z"])
def test_nobody_logs_in_as_a_role_or_as_somebody_who_has_left(row: str) -> None:
    text = f'[account."{MINISTER}"]\nentity = "FIN"\n{row}\n'
    assert not accounts.parse(text.encode()).rows[MINISTER].logs_in
    with pytest.raises(AccountsError, match="no password"):
        accounts.parse((text + 'password = "$argon2id$x"\n').encode())
    to = f'[[delegation]]\naddress = "{PRESS}"\nto = "{MINISTER}"\nowner = "{AMAL}"\nends = 2027-01-01T00:00:00Z\n'
    with pytest.raises(AccountsError, match="delegate to a person"):
        accounts.parse((text + to).encode())


def test_who_leaves_keeps_her_address_and_nothing_else() -> None:
    hers = (lent(to=RANIA), lent(PRESS, AMAL, RANIA), lent(RANIA, AMAL, YUSUF))
    other = lent(PRESS, AMAL, YUSUF)
    done = delegating.left(people(*hers, other), RANIA, REGISTRY, NOW)
    row = done.accounts.rows[RANIA]
    assert (row.left, row.password, row.scram, row.app, row.logs_in) == (NOW, "", "", (), False)
    assert done.accounts.delegations == (other,)
    assert (done.ended, done.passed_on, done.apps) == (hers, (), 1)
    again = delegating.left(done.accounts, RANIA, REGISTRY, LATER)
    assert again.accounts.rows[RANIA].left == NOW  # since when, not when it was said again


def test_a_successor_gets_what_was_lent_or_answered_for_but_never_the_persons_own_address() -> None:
    hers = (lent(to=RANIA), lent(PRESS, AMAL, RANIA), lent(RANIA, AMAL, YUSUF))
    done = delegating.left(people(*hers), RANIA, REGISTRY, NOW, AMAL)
    assert done.passed_on == (lent(to=AMAL),)  # PRESS would have been answered for by who uses it
    done = delegating.left(people(*hers), RANIA, REGISTRY, NOW, YUSUF)
    assert set(done.passed_on) == {lent(PRESS, AMAL, YUSUF)}
    for nobody in (SALIM, RANIA, MINISTER, "x@finance.saba.example"):
        with pytest.raises(NotAllowed, match="successor"):
            delegating.left(people(), RANIA, REGISTRY, NOW, nobody)


def test_a_person_whom_only_another_back_end_knows_can_leave_too() -> None:
    done = delegating.left(people(), "ldap@health.saba.example", REGISTRY, NOW)
    assert not done.accounts.rows["ldap@health.saba.example"].logs_in
    with pytest.raises(NotAllowed, match="no account"):
        delegating.left(people(), "x@freemail.example", REGISTRY, NOW)
    with pytest.raises(NotAllowed, match="is a role"):
        delegating.left(people(), MINISTER, REGISTRY, NOW)


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    known = delegating.left(people(lent()), RANIA, REGISTRY, NOW).accounts
    accounts.write(tmp_path / "accounts.toml", known, known.delegations)
    read = accounts.load(tmp_path / "accounts.toml")
    assert (read.rows, read.delegations) == (known.rows, known.delegations)


@given(st.text(max_size=40))
def test_any_text_survives_the_file(text: str) -> None:
    read, _ = toml.read("x", f"a = {toml.quoted(text)}\n".encode("utf-8", "surrogatepass"))
    assert read["a"] == text
