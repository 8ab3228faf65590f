"""`hudhud mail account`: passwords never pass by arguments, app passwords are shown once, each act is recorded."""

from __future__ import annotations

import io
import json
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from deploy.demo import make_lab
from deploy.ports import Ports
from hudhud.audit import verify
from hudhud.cli import Problem
from hudhud.clock import SYSTEM
from hudhud.keys import SigningKey
from hudhud.people import verify_password
from mail import accounts
from mail.accounts import Row
from mail.cli.account_command import add, list_accounts, passwd, show
from mail.cli.app_command import add as add_app
from mail.cli.app_command import list_apps, revoke
from mail.proof import apps
from mail.proof.scram import Keys
from mail.proof.used import Used, path_of

NEW, AMAL = "wafa@finance.saba.example", "amal@finance.saba.example"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A demo country whose education ministry keeps its people in a directory."""
    data = tmp_path_factory.mktemp("lab")
    path = make_lab(data, Ports(2500), SYSTEM.now())
    (data / "ldap.secret").touch(0o600)
    with path.open("a") as file:
        file.write(
            '\n[auth.ldap.edu]\ndomains = ["education.saba.example"]\nurls = ["ldaps://dc.example"]\nbase = "dc=e"\n'
        )
    return path


@pytest.fixture(autouse=True)
def english(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "C.UTF-8")


def row(lab: Path, address: str) -> Row:
    return accounts.load(lab.parent / "accounts.toml").rows[address]


def types(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(text + "\n"))


def test_an_account_is_added_with_both_kinds_of_keys(lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    types(monkeypatch, "كلمة سر طويلة 1")
    assert add(NEW, name="Wafa", alias=["w.nour@finance.saba.example"], config=lab) == 0
    found = row(lab, NEW)
    assert found.entity == "FIN"
    assert verify_password(found.password, "كلمة سر طويلة 1")
    keys = Keys.parse(found.scram)
    assert keys is not None
    types(monkeypatch, "another long password")
    assert passwd("W.Nour@finance.saba.example", config=lab) == 0
    again = row(lab, NEW)
    assert verify_password(again.password, "another long password")
    fresh = Keys.parse(again.scram)
    assert fresh is not None
    assert (fresh.salt, fresh.stored == keys.stored) == (keys.salt, False)
    for text, problem in (("short", "12 to 256"), ("a bell \a is no password", "cannot be used")):
        types(monkeypatch, text)
        with pytest.raises(Problem, match=problem):
            passwd(NEW, config=lab)
    with pytest.raises(Problem, match="belongs to"):
        add("w.nour@finance.saba.example", config=lab)
    with pytest.raises(Problem, match="no domain of a public body"):
        add("x@freemail.example", config=lab)


def test_lists_tell_who_knows_a_password_and_never_a_hash(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert list_accounts(entity="FIN", json=True, config=lab) == 0
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {one["address"] for one in told} >= {AMAL}
    assert all(one["backend"] == "" and one["password"] is True for one in told)
    assert show("karim@education.saba.example", config=lab) == 0
    text = capsys.readouterr().out
    assert "ldap.edu" in text
    assert "$argon2" not in text + json.dumps(told)
    assert list_accounts(entity="NOBODY", config=lab) == 1
    with pytest.raises(Problem, match="no account"):
        show("nobody@finance.saba.example", config=lab)


def test_an_app_password_is_shown_once_listed_with_its_last_use_and_revoked(
    lab: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert add_app(AMAL, label="telephone", days=30, config=lab) == 0
    text = capsys.readouterr().out
    shown = text.splitlines()[1].strip()
    kept = (lab.parent / "accounts.toml").read_text()
    assert shown not in kept
    assert shown.replace("-", "") not in kept
    mine = row(lab, AMAL).app[0]
    assert f"App password {mine.id} of {AMAL}" in text
    assert mine.expires - mine.created == timedelta(days=30)
    found = apps.find(row(lab, AMAL), shown.encode(), SYSTEM.now())
    assert found == mine
    used = Used(path_of(lab.parent / "relay", 0))
    (lab.parent / "relay").mkdir(exist_ok=True)
    used.note(f"{AMAL} {mine.id}", SYSTEM.now(), "198.51.100.7")
    assert list_apps(AMAL, json=True, config=lab) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["label"], told["from"], told["over"]) == ("telephone", "198.51.100.7", False)
    assert "hash" not in told
    assert list_apps(config=lab) == 0
    assert "198.51.100.7" in capsys.readouterr().out
    with pytest.raises(Problem, match="no app password nothing"):
        revoke(AMAL, ("nothing",), config=lab)
    assert revoke(AMAL, (mine.id,), reason="lost", config=lab) == 0
    assert row(lab, AMAL).app == ()
    with pytest.raises(Problem, match="has no app passwords"):
        revoke(AMAL, all=True, config=lab)
    for bad in ({"label": " "}, {"label": "x\ny"}, {"label": "x", "days": 0}, {"label": "x", "days": 99_999}):
        with pytest.raises(Problem):
            add_app(AMAL, config=lab, **bad)  # type: ignore[arg-type] # each has its own types


def test_a_person_whom_only_a_directory_knows_gets_an_app_password_and_no_password(
    lab: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    who = "thuraya@education.saba.example"
    assert add_app(who, label="telephone", json=True, config=lab) == 0
    shown = json.loads(capsys.readouterr().out)["password"]
    found = row(lab, who)
    assert (found.entity, found.password) == ("EDU", "")
    assert apps.find(found, shown.encode(), SYSTEM.now()) is not None
    with pytest.raises(Problem, match="set it there"):
        passwd(who, config=lab)
    assert add("ibtisam@education.saba.example", config=lab) == 0  # stdin is not read
    with pytest.raises(Problem, match="no account"):
        add_app("nobody@finance.saba.example", label="x", config=lab)


def test_every_act_is_in_the_audit_chain_without_a_secret(lab: Path) -> None:
    chain = lab.parent / "audit" / "accounts.chain"
    text = chain.read_text()
    for act in ("account.add", "account.passwd", "account.app.add", "account.app.revoke"):
        assert act in text
    assert "$blake2b" not in text
    assert "$argon2" not in text
    assert verify(chain, SigningKey.load(lab.parent / "keys" / "node.key").public) == []
