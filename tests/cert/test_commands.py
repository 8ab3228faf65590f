"""`hudhud cert …` as a person or a program calls it: what it prints, and how it ends."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cyclopts import CycloptsError

from cert import deadletter
from cert.cluster import Cluster
from cert.deadletter import DeadLetter
from cert.deadletter_command import lines_of as status_lines
from cert.elastic import ElasticStore
from cert.event_command import asked as one_asked
from cert.opening import open_store
from cert.sqlite import SqliteStore
from cert.store import Query
from deploy.demo import make_lab
from deploy.main import app
from deploy.ports import Ports
from hudhud import config
from hudhud.cli import Exit, Problem
from hudhud.clock import SYSTEM, VirtualClock
from hudhud.database import Database
from tests.cert.morning import LURE, Morning, mail, sensed
from tests.conformance.store import NOW

Run = Callable[..., tuple[int, list[dict[str, Any]]]]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lab whose desk has seen two mails of one lure and one of another."""
    folder = tmp_path_factory.mktemp("lab")
    make_lab(folder, Ports(23_000), SYSTEM.now())
    (folder / "desk").mkdir()

    async def fill() -> None:
        settings = config.load(folder / "hudhud.toml").settings
        clock = VirtualClock(NOW)
        store = SqliteStore(settings.path("store"), clock)
        morning = Morning(store, clock, settings.path("desk"))
        await morning.see(mail("FIN", lure=LURE), mail("INT", lure=LURE), mail("HEA", lure=["t0:other"]))
        morning.close()
        await store.close()

    asyncio.run(fill())
    return folder


@pytest.fixture
def run(lab: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*words: str, json_: bool = True) -> tuple[int, list[dict[str, Any]]]:
        capsys.readouterr()
        asked = ["cert", *words, "--config", str(lab / "hudhud.toml"), *(["--json"] if json_ else [])]
        try:
            code = app(asked, exit_on_error=False)
        except Problem as problem:
            return problem.exit, [{"problem": str(problem)}]
        shown = capsys.readouterr().out
        return int(code), [json.loads(line) for line in shown.splitlines()] if json_ else [{"text": shown}]

    return call


def test_the_queue_is_ndjson_and_one_incident_is_one_object(run: Run) -> None:
    code, rows = run("incidents", "list", "--order", "severity")
    assert (code, [row["alerts"] for row in rows]) == (Exit.DONE, [2, 1])
    code, (shown,) = run("incidents", "show", rows[0]["id"])
    assert len(shown["alerts"]) == shown["alert_count"] == 2
    assert shown["recipients"] == {"held": ["head@finance.saba.example", "head@interior.saba.example"]}
    assert shown["timeline"][0]["kind"] == "opened"
    assert run("incidents", "list", "--entity", "TEL")[0] == Exit.NO
    assert run("incidents", "show", "I-nothing")[0] == Exit.NO


def test_acts_are_done_recorded_and_refused_when_stale(run: Run) -> None:
    _, rows = run("incidents", "list", "--entity", "HEA")
    one = rows[0]["id"]
    assert run("incidents", "assign", one, "rima", "--actor", "rima")[1][0]["owner"] == "rima"
    code, told = run("incidents", "note", one, "late", "--version", "1")
    assert (code, "was changed meanwhile" in told[0]["problem"]) == (Exit.NO, True)
    code, told = run("incidents", "status", one, "closed")
    assert (code, "reason" in told[0]["problem"]) == (Exit.USAGE, True)
    assert run("incidents", "status", one, "closed", "--reason", "a drill")[1][0]["status"] == "closed"
    code, told = run("incidents", "status", one, "contained")
    assert (code, "allowed: triaged" in told[0]["problem"]) == (Exit.NO, True)
    code, chains = run("audit", "verify")
    assert (code, [chain["whole"] for chain in chains]) == (Exit.DONE, [True])


def test_merge_and_part(run: Run) -> None:
    _, rows = run("incidents", "list")
    ids = sorted(row["id"] for row in rows)
    _, (merged,) = run("incidents", "merge", ids[0], ids[1], "--reason", "alike")
    assert merged["alerts"] == 3
    assert run("incidents", "show", ids[1])[1][0]["id"] == ids[0]
    run("incidents", "part", ids[0], ids[1], "--reason", "not alike")
    assert len(run("incidents", "list")[1]) == 2


def test_events_are_searched_and_counted(run: Run) -> None:
    code, rows = run("events", "search", "event.action:held AND NOT organization.id:HEA", "--reason", "ticket 7")
    assert (code, len(rows)) == (Exit.DONE, 2)
    assert rows[0]["email"]["to"]["address"] == ["head@interior.saba.example"]
    assert run("events", "count", "organization.id")[1] == [{"key": code, "count": 1} for code in ("FIN", "HEA", "INT")]
    assert run("events", "count", "day")[1] == [{"key": "2026-11-23T00:00:00.000000Z", "count": 3}]
    assert run("events", "search", "event.action:nothing")[0] == Exit.NO
    code, told = run("events", "search", "evnt.action:held")
    assert (code, "did you mean event.action" in told[0]["problem"]) == (Exit.USAGE, True)
    assert run("events", "search", "--start", "soon")[0] == Exit.USAGE
    assert len(run("alerts", "list", "--entity", "FIN")[1]) == 1


def test_tables_for_people_show_what_is_hidden(run: Run) -> None:
    code, (shown,) = run("incidents", "list", "--language", "ar", json_=False)
    assert code == Exit.DONE
    assert "تصيّد" in shown["text"]
    assert run("status", json_=False)[0] == Exit.DONE


def test_dead_letters_are_listed_and_replayed(run: Run, lab: Path) -> None:
    assert run("deadletters", "list")[0] == Exit.NO
    database = Database(lab / "desk" / "deadletters.db", deadletter.SCHEMA)
    letter = DeadLetter("relay", 3, "is damaged", b"{\xff", NOW)
    database.commit_now(lambda connection: deadletter.bury(connection, [letter]))
    database.close()
    code, (row,) = run("deadletters", "list")
    assert (code, row["reason"], row["sequence"], row["id"]) == (Exit.DONE, "is damaged", 3, "desk/1")
    assert run("deadletters", "replay", row["id"], json_=False)[0] == Exit.DONE
    assert run("deadletters", "list")[1][0]["state"] == "replay"
    assert run("deadletters", "replay", "desk/77", json_=False)[0] == Exit.NO


async def test_what_was_mended_is_replayed_once(tmp_path: Path) -> None:
    clock = VirtualClock(NOW)
    store = SqliteStore(tmp_path / "store", clock)
    morning = Morning(store, clock, tmp_path)
    (record,) = morning.records([mail()])
    good = DeadLetter("relay", 1, "the parser had a fault", record.document, NOW)
    bad = DeadLetter("relay", 2, "is damaged", b"{", NOW)
    from hudhud.settings import Intake

    assert await morning.pipeline.again(good, Intake())
    assert await morning.pipeline.again(good, Intake())
    assert not await morning.pipeline.again(bad, Intake())
    assert len(await morning.incidents()) == 1
    morning.close()
    await store.close()


def test_only_the_chosen_store_is_opened(lab: Path) -> None:
    import msgspec

    settings = config.load(lab / "hudhud.toml").settings
    store = open_store(msgspec.structs.replace(settings, store=msgspec.structs.replace(settings.store, kind="elastic")))
    assert isinstance(store, ElasticStore)
    asyncio.run(store.close())


def test_a_store_that_is_away_is_exit_3(lab: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    text = (lab / "hudhud.toml").read_text().replace('kind = "sqlite"', 'kind = "elastic"')
    (tmp_path / "hudhud.toml").write_text(text)
    began = time.monotonic()
    with pytest.raises(Problem) as caught:
        app(["cert", "incidents", "list", "--config", str(tmp_path / "hudhud.toml")], exit_on_error=False)
    assert caught.value.exit == Exit.UNAVAILABLE
    assert time.monotonic() - began < 10


@pytest.mark.elastic
async def test_the_same_morning_on_elasticsearch(elastic_url: str, prefix: str, tmp_path: Path) -> None:
    clock = VirtualClock(NOW)
    store = ElasticStore(Cluster([elastic_url], prefix), clock)
    await store.prepare()
    morning = Morning(store, clock, tmp_path)
    await morning.see(*(mail(code, lure=LURE) for code in ("FIN", "INT", "HEA")))
    await morning.see(mail("FIN", lure=["t9:z"]), first=10)
    await morning.see(mail("EDU", lure=["t9:z", LURE[0]]), first=11)
    (incident,) = await morning.incidents()
    assert (incident.alerts, len(incident.merged)) == (6, 1)
    await store.close()
    morning.close()


def test_only_a_person_who_is_known_gets_an_incident(run: Run) -> None:
    one = run("incidents", "list")[1][0]["id"]
    code, told = run("incidents", "assign", one, "nobodyatall")
    assert (code, "nobodyatall" in told[0]["problem"], "rima" in told[0]["problem"]) == (Exit.NO, True, True)


@pytest.mark.parametrize("words", [("incidents", "list"), ("events", "search"), ("alerts", "list")])
def test_a_limit_below_one_is_a_usage_error(run: Run, words: tuple[str, str]) -> None:
    with pytest.raises(CycloptsError, match="limit"):
        run(*words, "--limit", "-1")


def test_an_incident_in_arabic_has_no_english_headings(run: Run) -> None:
    _, rows = run("incidents", "list")
    _, (shown,) = run("incidents", "show", rows[0]["id"], "--language", "ar", json_=False)
    _, (listed,) = run("incidents", "list", "--language", "ar", json_=False)
    assert not [word for word in ("version", "owner", "severity", "of 100", "Timeline") if word in shown["text"]]
    assert not [word for word in ("severity", "bodies", "owner") if word in listed["text"]]


def test_the_status_is_a_table_without_dicts() -> None:
    told = {"desk": {"pid": 7, "ready": True, "problems": {}}, "store_problem": "", "dead_letters": 0}
    assert status_lines("", told) == [
        ("desk.pid", "7"), ("desk.ready", "yes"), ("desk.problems", "–"), ("store_problem", "well"),
        ("dead_letters", "0"),
    ]  # fmt: skip


async def test_heartbeats_are_searched_only_when_asked(tmp_path: Path) -> None:
    asked = [one_asked("", health=False), one_asked("a OR b", health=False), one_asked("a", health=True)]
    assert asked == ["NOT event.dataset:hudhud.health", "(a OR b) AND NOT event.dataset:hudhud.health", "a"]
    assert one_asked("event.dataset:hudhud.health", health=False) == "event.dataset:hudhud.health"
    clock = VirtualClock(NOW)
    store = SqliteStore(tmp_path / "store", clock)
    morning = Morning(store, clock, tmp_path)
    beat = sensed("HS-NONE")
    beat["event"] = {"kind": "metric", "dataset": "hudhud.health"}
    await morning.see(mail(), beat)
    assert len((await store.search(Query(one_asked("", health=False)))).found) == 1
    assert len((await store.search(Query(""))).found) == 2
    morning.close()
    await store.close()
