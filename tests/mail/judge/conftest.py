"""What the tests of the judgement share: the demo country, envelopes, and one question to the whole judgement."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import msgspec
import pytest

from hudhud.clock import VirtualClock
from hudhud.settings import Settings
from mail.accounts import Account
from mail.dns import ZoneResolver
from mail.envelope import Client, Envelope, Recipient, parse_path
from mail.exempt import Exemption
from mail.judging import Judging
from mail.live import FixedRules, demo_rules, demo_zone
from mail.message import Message
from mail.policy import Policy, Rules
from mail.threads import KnownThreads
from mail.verdict import Judgement, Verdict

AMAL = Account(
    "amal@finance.saba.example", "FIN", frozenset({"amal@finance.saba.example", "a.haddad@finance.saba.example"})
)


@dataclass(frozen=True)
class Asked:
    """The RCPT verdicts in order, and the judgement at DATA."""

    rcpt: tuple[Verdict, ...]
    data: Judgement

    @property
    def rules(self) -> list[str]:
        early = [f.rule for v in self.rcpt if v.reply is not None for f in v.findings]
        return early + [f.rule for f in self.data.findings]

    def word(self, index: int = 0) -> str:
        raw = self.rcpt[index].recipient
        at_data = {v.recipient: v for v in self.data.verdicts}
        return at_data.get(raw, self.rcpt[index]).disposition.word


@pytest.fixture(scope="session")
def rules() -> FixedRules:
    return demo_rules()


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


def envelope(sender: str, rcpt: Sequence[str], account: Account | None, clock: VirtualClock) -> Envelope:
    client = Client("198.51.100.25", 40000, "client.example", None, "submission" if account else "mx")
    recipients = tuple(Recipient(parse_path(text.encode(), smtputf8=True)) for text in rcpt)
    return Envelope(parse_path(sender.encode(), smtputf8=True), recipients, client, account, clock.now(), smtputf8=True)


def mail(*headers: str, body: str = "hello") -> bytes:
    """A message with those header lines."""
    return "\r\n".join([*headers, "", body, ""]).encode()


Ask = Callable[..., Awaitable[Asked]]


@pytest.fixture
async def ask(rules: FixedRules, clock: VirtualClock) -> AsyncIterator[Ask]:
    """`await ask(data, sender, rcpt, …)`: RCPT for each recipient, then DATA for those that were taken."""
    opened: list[Judging] = []

    async def asked(
        data: bytes,
        sender: str = "amal@finance.saba.example",
        rcpt: Sequence[str] = ("salim@interior.saba.example",),
        *,
        account: Account | None = AMAL,
        threads: Sequence[tuple[str, str, str, datetime]] = (),
        zone: dict[str, object] | None = None,
        changed: dict[str, object] | None = None,
        exemptions: Sequence[Exemption] = (),
        arrivals: Sequence[tuple[bytes, Sequence[str], datetime]] = (),
    ) -> Asked:
        policy = with_rules(rules.policy, changed or {}, exemptions)
        resolver = ZoneResolver(zone) if zone is not None else ZoneResolver.load(demo_zone())
        known, live = KnownThreads(threads, arrivals), FixedRules(policy, rules.ruleset)
        judging = Judging(live, resolver, known, clock, Settings(), patience_s=5.0)
        opened.append(judging)
        whole = envelope(sender, rcpt, account, clock)
        verdicts = tuple([await judging.at_rcpt(whole, r, reference="0-TEST") for r in whole.recipients])
        taken = tuple(r for r, v in zip(whole.recipients, verdicts, strict=True) if v.reply is None)
        message = Message.read(replace(whole, recipients=taken), "0-TEST", data)
        return Asked(verdicts, await judging.at_data(message, verdicts))

    yield asked
    for judging in opened:
        await judging.close()


def with_rules(policy: Policy, changed: dict[str, object], exemptions: Sequence[Exemption] = ()) -> Policy:
    """The policy with other rules for every body, and exemptions."""
    default = msgspec.convert(msgspec.structs.asdict(policy.default) | changed, Rules)
    table: dict[tuple[str, str], tuple[Exemption, ...]] = {}
    for e in exemptions:
        table[e.sender, e.recipient] = (*table.get((e.sender, e.recipient), ()), e)
    entities = {} if changed else policy.entities
    once = tuple(e for e in exemptions if e.uses is not None)
    return replace(policy, default=default, entities=entities, exemptions=table, single=once)
