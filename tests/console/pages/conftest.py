"""Browsers without JavaScript, and a relay whose control API is the real one, over a real spool."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from html import unescape
from html.parser import HTMLParser

import httpx
import pytest

from console.app import build
from console.house import House
from hudhud import codec
from hudhud.audit import Audit
from hudhud.clock import VirtualClock
from hudhud.keys import SigningKey
from hudhud.settings import Settings
from mail import envelope as grammar
from mail.content.examine import Examiner
from mail.control import Control
from mail.dns import LiveResolver
from mail.envelope import Client, Envelope
from mail.message import Message
from mail.nexthop import Offers
from mail.node.granting import Granting
from mail.node.office import Office, Server
from mail.node.served import Ground, Served, serve
from mail.node.stopping import Stop, Stops
from mail.shelf.bodies import wrapping_key
from mail.spool import Entry
from mail.verdict import Disposition, Finding, Judgement, Reply, Verdict

PASSWORD = "correct horse battery"
HOST = "https://console.test"


@dataclass
class Form:
    action: str
    values: dict[str, str]


class FormReader(HTMLParser):
    """The POST forms of a page, with the values that a browser would send."""

    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self.inside = False
        self.select = self.area = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.inside = given.get("method") == "post"
            if self.inside:
                self.forms.append(Form(given["action"], {}))
        elif self.inside and tag == "input":
            self.forms[-1].values[given["name"]] = given.get("value", "")
        elif self.inside and tag == "textarea":
            self.area = given["name"]
            self.forms[-1].values[self.area] = ""
        elif self.inside and tag == "select":
            self.select = given["name"]
            self.forms[-1].values.setdefault(self.select, "")
        elif self.inside and tag == "option" and ("selected" in given or not self.forms[-1].values[self.select]):
            self.forms[-1].values[self.select] = given["value"]

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea":
            self.area = ""
        elif tag == "form":
            self.inside = False

    def handle_data(self, data: str) -> None:
        if self.area:
            self.forms[-1].values[self.area] += data


class Browser:
    """Follows links and sends forms as a browser without JavaScript does; holds cookies, names its origin."""

    def __init__(self, house: House, address: str = "192.0.2.77") -> None:
        self.client = httpx.AsyncClient(
            transport=httpx.ASGITransport(app=build(house), client=(address, 50_000)),
            base_url=HOST,
            headers={"accept-language": "en"},
        )
        self.page: httpx.Response | None = None

    async def get(self, path: str, **headers: str) -> httpx.Response:
        self.page = await self.client.get(path, headers={"sec-fetch-site": "same-origin", **headers})
        return self.page

    async def send(self, action: str, **values: str) -> httpx.Response:
        """Fill in the form of the present page that goes to `action` and follow where it leads."""
        assert self.page is not None
        form = next((one for one in forms(self.page.text) if one.action == action), None)
        assert form is not None, f"no form for {action}: {[one.action for one in forms(self.page.text)]}"
        assert set(values) <= set(form.values), f"{action} has no field {set(values) - set(form.values)}"
        answer = await self.client.post(
            action, data={**form.values, **values}, headers={"origin": HOST, "sec-fetch-site": "same-origin"}
        )
        if answer.status_code == 303:
            return await self.get(answer.headers["location"])
        self.page = answer
        return answer

    def read(self) -> str:
        """What a person reads in the main part of the present page."""
        assert self.page is not None
        inner = self.page.text.partition("<main")[2]
        return unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", inner.partition(">")[2])))

    def actions(self) -> list[str]:
        """Where the forms of the present page's main part lead."""
        assert self.page is not None
        return [one.action for one in forms(self.page.text.partition("<main")[2])]

    async def login(self, login: str, password: str = PASSWORD, following: str = "/") -> httpx.Response:
        await self.get(f"/login?next={following}")
        return await self.send("/login", login=login, password=password)


def forms(html: str) -> list[Form]:
    reader = FormReader()
    reader.feed(html)
    return reader.forms


@pytest.fixture
def browser(house: House) -> Browser:
    return Browser(house)


@pytest.fixture
def another(house: House) -> Browser:
    """A second person's browser."""
    return Browser(house, "192.0.2.78")


FINDINGS = (
    Finding("mime", "H-MIME-01", "1", Disposition.TAG, "ambiguous-mime"),
    Finding(
        "content", "HY-0001", "1", Disposition.HOLD, "disguise", None, {"name": "invoice\u202efdp.exe", "part": "1.2"}
    ),
)
LETTER = """From: Noor <noor@freemail.example>\r
To: <{recipient}>\r
Subject: =?utf-8?b?2YHYp9iq2YjYsdip?= Salary\r
Message-ID: <one@freemail.example>\r
MIME-Version: 1.0\r
Content-Type: text/plain; charset=utf-8\r
Content-Transfer-Encoding: 8bit\r
\r
Dear colleague, 2 > 1 & so on\r
open \u202ehttps://evil.example\r
"""


class LiveRelay:
    """A relay of one shard that delivers nothing: its spool, its control API, its list of stopped rules."""

    def __init__(self, served: Served, stops: Stops, audit: Audit, clock: VirtualClock) -> None:
        self.served, self.stops, self.audit, self.clock = served, stops, audit, clock

    async def hold(self, recipient: str = "amal@finance.saba.example", sender: str = "noor@freemail.example") -> str:
        """Put a message into the spool that a rule held; its queue id."""
        address = grammar.parse_path(recipient.encode(), smtputf8=True)
        received = self.clock.now() - timedelta(minutes=30)
        client = Client("198.51.100.25", 40_000, "mx.freemail.example", None, "mx")
        envelope = Envelope(
            grammar.parse_path(sender.encode(), smtputf8=True), (grammar.Recipient(address),), client, None, received
        )
        message = Message.read(envelope, self.served.spool.new_id(), LETTER.format(recipient=recipient).encode())
        verdict = Verdict(address.raw, Disposition.HOLD, FINDINGS)
        judgement = Judgement((verdict,), Reply(250, "2.0.0", "Accepted"), FINDINGS)
        await self.served.spool.put(message, judgement, [Entry(envelope.recipients[0], "held")], [])
        return message.queue_id

    def state(self, queue_id: str) -> str:
        """Where the message stands."""
        shown = self.served.spool.show(queue_id)
        assert shown is not None
        return str(shown["state"])

    def stop(self, rule: str) -> None:
        """As if the rule had stopped itself."""
        self.stops.stop(rule, Stop("1", "2026-11-23T07:00:00.000000Z", 21, 1000))

    def acts(self) -> list[tuple[str, str, str, str]]:
        """(actor, act, subject, reason) of the relay's own audit chain."""
        lines = [codec.decode(line) for line in self.audit.path.read_text(encoding="utf-8").splitlines()]
        bodies = [line.get("body", line) for line in lines]
        return [(b["actor"], b["act"], b["subject"], b.get("reason", "")) for b in bodies if b.get("kind") == "act"]


@pytest.fixture
async def relay(settings: Settings, house: House, clock: VirtualClock) -> AsyncIterator[LiveRelay]:
    folder = settings.path(settings.spool.folder)
    key = wrapping_key(settings.path("keys", "node.key"))
    offers = Offers(folder / "offers.bin", ttl_s=60, clock=clock)
    ground = Ground(
        settings, clock, LiveResolver(settings.dns, clock), lambda: house.registry.value, key, folder, offers
    )
    served, stops, examiner = serve(ground, 0), Stops(folder), Examiner(settings.content)
    audit = Audit(
        settings.path("audit", "relay-0.chain"), SigningKey.load(settings.path("keys", "node.key")), "relay-0"
    )
    found = LiveRelay(served, stops, audit, clock)
    control = Control(lambda: [served], examiner, audit, clock, lambda: {"worker": 0})
    sockets = await control.open(folder / "worker-0.sock")

    async def unstop(rule: str, actor: str) -> bool:
        return stops.let_run(rule, clock.now())

    office = Office(
        folder, settings.relay.control_clients, unstop=unstop, granting=Granting(settings),
        status=lambda: {"node": "test", "ready": True, "stopped": [{"rule": rule} for rule in stops.stopped]},
    )  # fmt: skip
    server = Server(office.config(settings))
    running = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    yield found
    server.should_exit = server.force_exit = True
    await running
    sockets.close()
    await examiner.close()
    audit.close()
    served.close()
    offers.close()
