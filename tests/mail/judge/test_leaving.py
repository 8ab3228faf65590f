"""`hudhud mail delegate` and `account leave` as they are typed: what is said, recorded and published."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from importlib import resources
from pathlib import Path

import pytest
from cyclopts import App

from hudhud import codec, release
from hudhud.cli import Exit, Problem
from hudhud.registry import parse_registry
from mail import accounts
from mail.accounts import Row
from mail.cli.delegate_command import delegate
from mail.cli.guest_command import guest
from mail.cli.leave_command import leave, role
from mail.exempt import Exemption, parse_exemptions
from mail.grants.asking import Status
from mail.grants.ledger import Ledger
from mail.proof.known import Known
from mail.session.live import account_of

AMAL, YUSUF, RANIA = (f"{name}@finance.saba.example" for name in ("amal", "yusuf", "rania"))
CONTRACTOR = "visitor@finance.saba.example"
MINISTER = "minister@finance.saba.example"
NOW = datetime.now(UTC)
DAY = f"{NOW + timedelta(days=30):%Y-%m-%d}"
Hudhud = Callable[..., int]


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A relay's data folder: three accounts, a registry, an exemption of Rania's in force."""
    keys = {name: release.SigningKey.generate(tmp_path / "keys" / f"{name}.key") for name in ("desk", "node")}
    public = base64.b64encode(keys["desk"].public).decode()
    (tmp_path / "hudhud.toml").write_text(f'[node]\ndata = "."\n[releases.keys]\ndesk = "{public}"\n')
    registry = (resources.files("hudhud") / "demo" / "registry.toml").read_bytes()
    hers = Exemption(
        id="EX-1", sender=RANIA, recipient="bank.example", starts=NOW, ends=NOW + timedelta(days=9), reason="loan",
        document="L 8", applicant="rima", approvers=("dalia", "ziad"),
    )  # fmt: skip
    files = {"registry": {"registry.toml": registry}, "exemptions": {"exemptions.json": codec.canonical([hers])}}
    for kind, content in files.items():
        digest = release.write(tmp_path / "releases", kind, content, author="x", note="", now=NOW, keys=[keys["desk"]])
        release.publish(tmp_path / "releases", kind, digest, now=NOW, keys=[keys["desk"]])
    rows = [Row(address=one, entity="FIN", password="$argon2id$x") for one in (AMAL, YUSUF, RANIA)]
    accounts.write(tmp_path / "accounts.toml", rows)
    return tmp_path


@pytest.fixture
def hudhud(house: Path) -> Hudhud:
    app = App(result_action="return_value")
    for command in (delegate, leave, role, guest):
        app.command(command)
    return lambda *words: app([*words, "--config", str(house / "hudhud.toml")])


def acts(house: Path) -> list[tuple[str, str, str]]:
    lines = (house / "audit" / "accounts.chain").read_text().splitlines()
    return [(one["act"], one["subject"], one.get("reason", "")) for one in map(json.loads, lines) if "act" in one]


def test_a_delegation_is_given_listed_and_ended(
    house: Path, hudhud: Hudhud, capsys: pytest.CaptureFixture[str]
) -> None:
    assert hudhud("role", MINISTER, "--name", "Minister") == Exit.DONE
    assert hudhud("delegate", "list") == Exit.NO
    assert hudhud("delegate", "give", MINISTER, AMAL, "--until", DAY, "--owner", YUSUF, "--reason", "L 9") == Exit.DONE
    capsys.readouterr()
    assert hudhud("delegate", "list", "--to", AMAL, "--json") == Exit.DONE
    shown = json.loads(capsys.readouterr().out)
    assert (shown["address"], shown["owner"], shown["in_force"], shown["role"]) == (MINISTER, YUSUF, True, True)
    assert hudhud("delegate", "end", MINISTER, AMAL) == Exit.DONE
    assert accounts.load(house / "accounts.toml").delegations == ()
    assert acts(house) == [
        ("account.role", MINISTER, ""), ("delegation.give", MINISTER, "L 9"), ("delegation.end", MINISTER, ""),
    ]  # fmt: skip


def test_what_is_forbidden_changes_nothing_and_is_said_in_arabic_too(
    house: Path, hudhud: Hudhud, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (house / "accounts.toml").read_bytes()
    far = f"{NOW + timedelta(days=800):%Y-%m-%d}"
    with pytest.raises(Problem, match="at most 366 days"):
        hudhud("delegate", "give", MINISTER, AMAL, "--until", far, "--owner", YUSUF)
    monkeypatch.setenv("LC_ALL", "ar_SY.UTF-8")
    with pytest.raises(Problem, match="لا تزيد مدة التفويض على 366"):
        hudhud("delegate", "give", MINISTER, AMAL, "--until", far, "--owner", YUSUF)
    with pytest.raises(Problem):
        hudhud("delegate", "give", MINISTER, "nobody@finance.saba.example", "--until", DAY, "--owner", YUSUF)
    assert (house / "accounts.toml").read_bytes() == before


def test_leaving_revokes_exemptions_at_the_desk_and_publishes_the_rest(house: Path, hudhud: Hudhud) -> None:
    ledger = Ledger(house / "desk" / "exemptions.db")
    wish = Exemption("", RANIA, "bank.example", NOW, NOW + timedelta(days=9), "loan", "L 8", "rima")
    asked = [ledger.request(wish, "FIN", NOW) for _ in range(2)]
    for login in ("dalia", "ziad"):
        ledger.approve(asked[0].exemption.id, login, NOW)
    ledger.close()
    assert hudhud("leave", RANIA, "--reason", "new post") == Exit.DONE
    after = Ledger(house / "desk" / "exemptions.db")
    assert [one.status for one in after.list()] == [Status.REVOKED, Status.REVOKED]
    after.close()
    trust = release.Trust({"desk": release.SigningKey.load(house / "keys" / "desk.key").public}, {})
    assert parse_exemptions(release.load(house / "releases", "exemptions", trust).files) == ()
    assert not accounts.load(house / "accounts.toml").rows[RANIA].logs_in
    assert ("account.leave", RANIA, "new post") in acts(house)


def test_where_the_desk_is_elsewhere_the_log_in_ends_and_what_is_left_is_named(house: Path, hudhud: Hudhud) -> None:
    with pytest.raises(Problem, match="EX-1: still in force") as told:
        hudhud("leave", RANIA)
    assert told.value.exit is Exit.UNAVAILABLE
    assert not accounts.load(house / "accounts.toml").rows[RANIA].logs_in
    assert hudhud("leave", AMAL) == Exit.DONE  # who has none is done


def _guest(house: Path, hudhud: Hudhud, monkeypatch: pytest.MonkeyPatch, until: str = DAY) -> accounts.Row:
    monkeypatch.setattr("sys.stdin", io.StringIO("a long enough password\n"))
    assert hudhud("guest", CONTRACTOR, "--sponsor", YUSUF, "--until", until, "--name", "Visitor") == Exit.DONE
    found = accounts.load(house / "accounts.toml").find(CONTRACTOR)
    assert found is not None
    return found


def test_a_guest_has_a_sponsor_and_an_end_and_is_given_another(
    house: Path, hudhud: Hudhud, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = _guest(house, hudhud, monkeypatch)
    assert (row.kind, row.sponsor, row.entity, bool(row.password)) == ("guest", YUSUF, "FIN", True)
    assert row.ends is not None
    assert row.logs_in_at(NOW)
    assert not row.logs_in_at(row.ends)
    later = f"{NOW + timedelta(days=60):%Y-%m-%d}"
    assert hudhud("guest", CONTRACTOR, "--sponsor", AMAL, "--until", later) == Exit.DONE
    again = accounts.load(house / "accounts.toml").find(CONTRACTOR)
    assert again is not None
    assert (again.sponsor, again.password) == (AMAL, row.password)
    assert again.ends is not None
    assert again.ends > row.ends
    assert [act for act, subject, _ in acts(house) if subject == CONTRACTOR] == ["account.guest", "account.guest"]


@pytest.mark.parametrize(
    ("sponsor", "until", "said"),
    [
        ("nobody@finance.saba.example", DAY, "no person's account"),
        ("salim@interior.saba.example", DAY, "no person's account"),
        (YUSUF, "2020-01-01", "over already"),
        (YUSUF, "2099-01-01", "at most 366 days"),
    ],
)
def test_no_guest_without_end_or_sponsor(house: Path, hudhud: Hudhud, sponsor: str, until: str, said: str) -> None:
    with pytest.raises(Problem, match=said):
        hudhud("guest", CONTRACTOR, "--sponsor", sponsor, "--until", until)
    assert accounts.load(house / "accounts.toml").find(CONTRACTOR) is None


def test_a_person_is_made_no_guest(hudhud: Hudhud) -> None:
    with pytest.raises(Problem, match="no guest's account"):
        hudhud("guest", AMAL, "--sponsor", YUSUF, "--until", DAY)


@pytest.mark.parametrize("successor", ["", AMAL])
def test_guests_of_who_leaves_end_or_go_to_the_successor(
    house: Path, hudhud: Hudhud, monkeypatch: pytest.MonkeyPatch, successor: str
) -> None:
    _guest(house, hudhud, monkeypatch)
    hudhud("leave", YUSUF, *(("--successor", successor) if successor else ()))
    row = accounts.load(house / "accounts.toml").find(CONTRACTOR)
    assert row is not None
    assert row.logs_in_at(datetime.now(UTC)) is bool(successor)
    assert row.sponsor == (successor or YUSUF)


def test_a_guest_whose_time_is_over_is_nobody_whichever_back_end_knows_the_password() -> None:
    registry = parse_registry({"registry.toml": (resources.files("hudhud") / "demo" / "registry.toml").read_bytes()})
    row = Row(address=CONTRACTOR, entity="FIN", kind="guest", sponsor=YUSUF, ends=NOW, password="$argon2id$x")
    known = accounts.Accounts([row])
    for stamp in ("", row.password):  # of LDAP or a token; of accounts.toml
        before = account_of(Known(CONTRACTOR, stamp=stamp), known, registry, NOW - timedelta(seconds=1))
        assert before is not None
        assert before.kind == "person"
        assert account_of(Known(CONTRACTOR, stamp=stamp), known, registry, NOW) is None
