"""Journals reach a real HTTPS server in order and without a loss, whatever it answers."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trustme
import uvicorn
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from hudhud import journal, ship
from hudhud.clock import SYSTEM, VirtualClock
from hudhud.database import Database
from hudhud.journal import Cursor, Journal, Record
from hudhud.ship import Shipper
from hudhud.tls import client_context

Answer = Callable[[list[dict[str, object]], int], Response]


def accept(_lines: list[dict[str, object]], _size: int) -> Response:
    return Response(status_code=202)


class Intake:
    """A small intake on loopback behind mutual TLS: stores what it accepts, and answers as it is told."""

    def __init__(self, folder: Path) -> None:
        authority = trustme.CA()
        server, client = authority.issue_cert("localhost"), authority.issue_cert("relay")
        authority.cert_pem.write_to_path(folder / "ca.pem")
        server.private_key_and_cert_chain_pem.write_to_path(folder / "server.pem")
        client.private_key_and_cert_chain_pem.write_to_path(folder / "client.pem")
        self.folder = folder
        self.tls = client_context(folder / "ca.pem", cert=folder / "client.pem")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.answer: Answer = accept
        self.stored: dict[str, list[dict[str, object]]] = {}
        self.batches: list[int] = []
        self.tokens: set[str | None] = set()
        self._server: uvicorn.Server | None = None

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}"

    async def _events(self, request: Request) -> Response:
        body = await request.body()
        assert body.endswith(b"\n")
        lines = [json.loads(line) for line in body.split(b"\n")[:-1]]
        self.tokens.add(request.headers.get("authorization"))
        self.batches.append(len(lines))
        answer = self.answer(lines, len(body))
        if answer.status_code == 202:
            self.stored.setdefault(request.headers["hudhud-source"], []).extend(lines)
        return answer

    def start(self) -> None:
        config = uvicorn.Config(
            Starlette(routes=[Route("/v1/events", self._events, methods=["POST"])]),
            host="127.0.0.1",
            port=self.port,
            ssl_certfile=self.folder / "server.pem",
            ssl_ca_certs=str(self.folder / "ca.pem"),
            ssl_cert_reqs=ssl.CERT_REQUIRED,
            log_level="error",
            lifespan="off",
            timeout_graceful_shutdown=1,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run)
        self._thread.start()
        while not self._server.started:
            time.sleep(0.01)

    def stop(self) -> None:
        if self._server is not None:
            self._server.should_exit = True
            self._thread.join()
            self._server = None

    def documents(self, source: str = "s") -> list[object]:
        return [line["document"] for line in self.stored.get(source, [])]


@pytest.fixture
def intake(tmp_path: Path) -> Iterator[Intake]:
    made = Intake(tmp_path)
    made.start()
    yield made
    made.stop()


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Journal]:
    database = Database(tmp_path / "journal.db", journal.SCHEMA)
    yield Journal(database, "s")
    database.close()


def numbered(begin: int, end: int) -> list[bytes]:
    return [b'{"n":%d}' % n for n in range(begin, end)]


def shipper(
    kept: Journal, intake: Intake, tmp_path: Path, *, batch: int = 500, clock: VirtualClock | None = None
) -> Shipper:
    cursor = Cursor(tmp_path / "run" / "s.cursor")
    return Shipper([kept], [cursor], intake.url, intake.tls, "t0ken", clock or SYSTEM, batch=batch)


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(2000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("did not come to pass")


@contextlib.asynccontextmanager
async def running(one: Shipper) -> AsyncIterator[None]:
    stop = asyncio.Event()
    task = asyncio.create_task(one.run(stop))
    try:
        yield
    finally:
        stop.set()
        await asyncio.wait_for(task, 5)


async def test_everything_arrives_once_in_order_with_its_sequence(
    kept: Journal, intake: Intake, tmp_path: Path
) -> None:
    kept.write_now(numbered(0, 1200))
    one = shipper(kept, intake, tmp_path)
    assert [await one.ship_once() for _ in range(4)] == [500, 500, 200, 0]
    await one.close()
    assert intake.stored["s"] == [
        {"sequence": record.sequence, "document": json.loads(record.document)} for record in kept.read(0, 2000)
    ]
    assert intake.tokens == {"Bearer t0ken"}
    assert one.lines[0].sent == 1200


async def test_a_restart_goes_on_where_the_last_one_stopped(kept: Journal, intake: Intake, tmp_path: Path) -> None:
    for part in range(3):
        kept.write_now(numbered(part * 10, part * 10 + 10))
        one = shipper(kept, intake, tmp_path)
        assert await one.ship_once() == 10
        await one.close()
    assert intake.documents() == [{"n": n} for n in range(30)]


async def test_what_is_written_while_it_runs_is_shipped_and_a_stop_is_prompt(
    kept: Journal, intake: Intake, tmp_path: Path
) -> None:
    one = shipper(kept, intake, tmp_path)
    async with running(one):
        for n in range(5):
            await kept.write(numbered(n * 10, n * 10 + 10))
            await until(lambda n=n: len(intake.documents()) == n * 10 + 10)
        began = time.monotonic()
    assert time.monotonic() - began < 1.0
    assert intake.documents() == [{"n": n} for n in range(50)]


async def test_a_server_that_was_down_gets_everything_when_it_is_back(
    kept: Journal, intake: Intake, tmp_path: Path
) -> None:
    await asyncio.to_thread(intake.stop)
    one = shipper(kept, intake, tmp_path, batch=10)
    async with running(one):
        await kept.write(numbered(0, 35))
        await until(lambda: one.lines[0].failures >= 1)
        assert "Connect" in str(one.lines[0].problem)
        await asyncio.to_thread(intake.start)
        await until(lambda: len(intake.documents()) >= 15)
        await asyncio.to_thread(intake.stop)
        await kept.write(numbered(35, 60))
        await until(lambda: one.lines[0].failures >= 1)
        await asyncio.to_thread(intake.start)
        await until(lambda: one.lines[0].sent >= 60)
        assert one.lines[0].problem is None
    seen = [line["sequence"] for line in intake.stored["s"]]
    assert sorted(set(seen)) == [record.sequence for record in kept.read(0, 100)]
    first_arrivals = list(dict.fromkeys(seen))
    assert first_arrivals == sorted(first_arrivals)


@pytest.mark.parametrize("status", [500, 502, 429, 503, 401, 403, 404, 302])
async def test_after_an_error_nothing_is_lost_and_the_wait_grows(
    kept: Journal, intake: Intake, tmp_path: Path, status: int
) -> None:
    clock = VirtualClock()
    one = shipper(kept, intake, tmp_path, clock=clock)
    kept.write_now(numbered(0, 5))
    intake.answer = lambda _lines, _size: Response("no room", status_code=status)
    waits: list[float] = []
    for _ in range(4):
        assert await one.ship_once() == 0
        waits.append(one.lines[0].not_before - clock.monotonic())
        await clock.advance(waits[-1])
    assert all(0.5 * 2.0**n * 0.5 <= wait <= 0.5 * 2.0**n for n, wait in enumerate(waits))
    assert one.lines[0].problem == f"the intake answered {status}: no room"
    assert one.lines[0].limit == 500
    intake.answer = accept
    assert await one.ship_once() == 5
    await one.close()
    assert intake.documents() == [{"n": n} for n in range(5)]


@pytest.mark.parametrize("status", [429, 503])
async def test_retry_after_is_honoured(kept: Journal, intake: Intake, tmp_path: Path, status: int) -> None:
    clock = VirtualClock()
    one = shipper(kept, intake, tmp_path, clock=clock)
    kept.write_now(numbered(0, 5))
    intake.answer = lambda _lines, _size: Response(status_code=status, headers={"Retry-After": "37"})
    await one.ship_once()
    assert intake.batches == [5]
    await clock.advance(36.9)
    assert await one.ship_once() == 0
    assert intake.batches == [5]
    intake.answer = accept
    await clock.advance(4.0)
    assert await one.ship_once() == 5
    await one.close()


async def test_one_source_that_is_refused_does_not_hold_up_another(
    kept: Journal, intake: Intake, tmp_path: Path
) -> None:
    database = Database(tmp_path / "other.db", journal.SCHEMA)
    other = Journal(database, "other")
    kept.write_now(numbered(0, 5))
    other.write_now([b'{"bad":true}'])
    intake.answer = lambda lines, _size: Response(status_code=403 if lines[0]["document"] == {"bad": True} else 202)
    cursors = [Cursor(tmp_path / "a"), Cursor(tmp_path / "b")]
    one = Shipper([other, kept], cursors, intake.url, intake.tls, None, SYSTEM)
    assert await one.ship_once() == 5
    assert [line.problem is None for line in one.lines] == [False, True]
    assert cursors[0].position == 0
    await one.close()
    database.close()


async def test_an_event_the_intake_will_not_take_is_put_aside_whole_and_the_rest_goes_on(
    kept: Journal, intake: Intake, tmp_path: Path
) -> None:
    clock = VirtualClock()
    large = b'{"n":"' + b"x" * 5000 + b'"}'
    kept.write_now([*numbered(0, 20), large, *numbered(20, 40)])
    intake.answer = lambda _lines, size: Response(status_code=413 if size > 4000 else 202)
    one = shipper(kept, intake, tmp_path, clock=clock)
    while one.lines[0].sent < 41:
        await one.ship_once()
        await clock.advance(120)
    await one.close()
    documents = intake.documents()
    assert documents == [*({"n": n} for n in range(20)), None, *({"n": n} for n in range(20, 40))]
    assert intake.stored["s"][20]["put_aside"] == len(large)
    [aside] = (tmp_path / "run" / "s.cursor.aside").read_bytes().splitlines()
    assert json.loads(aside) == {"sequence": intake.stored["s"][20]["sequence"], "document": json.loads(large)}


async def test_a_server_that_refuses_everything_loses_nothing(kept: Journal, intake: Intake, tmp_path: Path) -> None:
    clock = VirtualClock()
    kept.write_now(numbered(0, 6))
    intake.answer = lambda _lines, _size: Response(status_code=400)
    one = shipper(kept, intake, tmp_path, clock=clock)
    for _ in range(10):
        await one.ship_once()
        await clock.advance(120)
    assert Cursor(tmp_path / "run" / "s.cursor").position == 0
    assert len((tmp_path / "run" / "s.cursor.aside").read_bytes().splitlines()) == 1
    await one.close()


async def test_documents_that_are_no_json_or_have_line_feeds_travel_as_one_line(
    kept: Journal, intake: Intake, tmp_path: Path
) -> None:
    kept.write_now([b'{\n "n": 1\n}', b"\xff not json\n", b'{"n":"\\n"}'])
    one = shipper(kept, intake, tmp_path)
    assert await one.ship_once() == 3
    assert intake.documents() == [{"n": 1}, None, {"n": "\n"}]
    assert intake.stored["s"][1]["damaged"] == "/yBub3QganNvbgo="
    await one.close()


async def test_a_server_with_a_strange_certificate_gets_nothing(kept: Journal, intake: Intake, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    stranger = Intake(tmp_path / "other")
    kept.write_now(numbered(0, 1))
    one = Shipper([kept], [Cursor(tmp_path / "c")], intake.url, stranger.tls, None, SYSTEM)
    assert await one.ship_once() == 0
    assert "CERTIFICATE_VERIFY_FAILED" in str(one.lines[0].problem)
    await one.close()


async def test_a_database_that_is_not_there_yet_is_no_error(intake: Intake, tmp_path: Path) -> None:
    reader = journal.open_readonly(tmp_path / "later.db", "later")
    one = Shipper([reader], [Cursor(tmp_path / "c")], intake.url, intake.tls, None, SYSTEM)
    assert await one.ship_once() == 0
    assert one.lines[0].problem is None
    database = Database(tmp_path / "later.db", journal.SCHEMA)
    Journal(database, "later").write_now(numbered(0, 3))
    assert await one.ship_once() == 3
    assert intake.documents("later") == [{"n": n} for n in range(3)]
    await one.close()
    reader.close()
    database.close()


@given(sizes=st.lists(st.integers(1, 3 * 1024 * 1024), min_size=1, max_size=6))
def test_a_batch_is_the_first_records_that_fit_and_never_empty(sizes: list[int]) -> None:
    records = [Record(n + 1, b'"' + b"x" * size + b'"') for n, size in enumerate(sizes)]
    sent, body = ship.batch_body(records)
    assert list(sent) == records[: len(sent)]
    assert sent
    assert len(body) <= ship.MAX_BATCH_BYTES or len(sent) == 1
    assert body.count(b"\n") == len(sent)


@given(failures=st.integers(1, 10_000), chance=st.floats(0, 1, exclude_max=True))
def test_a_wait_is_never_zero_and_never_past_its_cap(failures: int, chance: float) -> None:
    assert 0.25 <= ship.backoff(failures, chance) <= ship.MAX_WAIT_S


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120.0),
        (" 0 ", 0.0),
        ("99999999999", 600.0),
        ("Mon, 23 Nov 2026 08:01:00 GMT", 60.0),
        ("Mon, 23 Nov 2026 07:00:00 GMT", 0.0),
        ("", None),
        ("-5", None),
        ("soon", None),
        ("٣", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str, seconds: float | None) -> None:
    assert ship.retry_after(value, datetime(2026, 11, 23, 8, 0, tzinfo=UTC)) == seconds
