"""The judgement of a message: gather, check, judge. The one path that the relay and `hudhud mail judge` take."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Final

from hudhud import log
from hudhud.clock import Clock
from hudhud.settings import Settings
from mail import checks
from mail.checks import content
from mail.content import addresses, marks, mentions
from mail.content.bench import Bench
from mail.content.examine import Examiner
from mail.content.features import features
from mail.dns import Resolver
from mail.envelope import Envelope, Recipient
from mail.facts import Facts, gather_envelope, gather_headers, gather_offers, plain
from mail.houses import PATIENCE_S, House, Houses
from mail.judge import judge
from mail.levels import level_of
from mail.message import Message
from mail.nexthop import Ahead
from mail.policy import LiveRules, Policy
from mail.spent import FOLDER, Spent
from mail.tell.replies import rcpt_reply
from mail.threads import Threads
from mail.verdict import Disposition, Finding, Judgement, Verdict
from rules.ruleset import Ruleset

UNJUDGEABLE: Final = "H-CONTENT-01"
MAX_FAULTS: Final = 3  # times a message may make a check fail before it is held (invariant 2)
FAULTS_KEPT: Final = 10_000  # messages whose faults are counted, per worker
MAX_CORRESPONDENTS: Final = 5  # addresses of one message from abroad that may be answered

_log = log.get(__name__)


class Judging:
    """Stands on what is live; takes policy and ruleset once for each question, so that a swap never mixes them."""

    def __init__(
        self,
        live: LiveRules,
        dns: Resolver,
        threads: Threads,
        clock: Clock,
        settings: Settings,
        *,
        ahead: Ahead | None = None,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._live, self._dns, self._threads, self._clock = live, dns, threads, clock
        self._ahead = ahead
        self._houses = Houses(dns, clock, patience_s)
        self._window = timedelta(days=settings.spool.arrival_days)
        self._examiner = Examiner(settings.content)
        self._help_url = settings.relay.help_url
        self._spent = Spent(settings.path(settings.spool.folder, FOLDER))
        self._faults: OrderedDict[str, int] = OrderedDict()

    def refresh(self) -> bool:
        """Looks for new releases; True when something was swapped."""
        return self._live.refresh()

    @property
    def bench(self) -> Bench:
        """The threads at which messages are examined."""
        return self._examiner.bench

    async def close(self) -> None:
        """Ends the child process that unpacks."""
        await self._houses.close()
        await self._examiner.close()

    async def at_rcpt(self, envelope: Envelope, recipient: Recipient, *, reference: str = "") -> Verdict:
        """The envelope checks for one recipient; `reply` is set when it is refused or deferred."""
        policy = self._live.policy
        one = replace(envelope, recipients=(recipient,))
        try:
            facts = await gather_envelope(one, policy, self._dns, self._threads, self._clock.now())
            facts = replace(facts, offers=await gather_offers(one, self._ahead))
            facts = self._with_scope(facts, policy, reference)
            findings = checks.run_envelope(one, facts, policy)
        except Exception as error:
            _log.exception("gathering facts failed", at="rcpt")
            findings = (checks.fault("gather", error),)
        strongest = max((f.disposition for f in findings), default=Disposition.ACCEPT)
        verdict = Verdict(recipient.address.raw, strongest, findings)
        if strongest < Disposition.DEFER:
            return verdict
        return replace(verdict, reply=rcpt_reply(verdict, help_url=self._help_url, reference=reference))

    async def at_data(self, message: Message, rcpt_verdicts: Sequence[Verdict]) -> Judgement:
        """The message checks for the recipients that were taken, then invariant 5. No message makes it raise."""
        started = time.perf_counter()
        policy, ruleset = self._live.policy, self._live.ruleset
        taken = {r.address.raw for r in message.envelope.recipients}
        rcpt = tuple(f for v in rcpt_verdicts if v.recipient in taken for f in _for(v))
        facts, findings = await self._findings(message, rcpt, policy, ruleset)
        judged = judge(
            self._unless_stuck(message, (*rcpt, *findings)),
            message.envelope,
            help_url=self._help_url,
            reference=message.queue_id,
        )
        found = facts.features
        arrivals, writers = _arrivals(message, facts, self._window)
        return replace(
            judged,
            parts=facts.contents.parts,
            urls=found.urls,
            lure=found.lure,
            threads=_threads(message, facts, policy),
            arrivals=arrivals,
            writers=writers,
            auth=facts.auth,
            took_ms=round((time.perf_counter() - started) * 1000, 3),
            ruleset=ruleset.version,
            policy=policy.version,
        )

    async def _findings(
        self, message: Message, rcpt: tuple[Finding, ...], policy: Policy, ruleset: Ruleset
    ) -> tuple[Facts, tuple[Finding, ...]]:
        now = self._clock.now()
        facts = Facts(now, rcpt=rcpt)
        try:
            gathered = await gather_headers(message, policy, self._dns, self._threads, now)
            offers = await gather_offers(message.envelope, self._ahead)
            facts = replace(gathered, rcpt=rcpt, offers=offers, houses=await self._houses_of(message.envelope, policy))
            facts = self._with_scope(facts, policy, message.queue_id, message)
        except Exception as error:
            _log.exception("gathering facts failed", at="data", message=message.sha256)
            return facts, (checks.fault("gather", error),)
        suspension = policy.suspended(content.NAME, now)
        borne: tuple[Finding, ...] = ()
        try:
            async with asyncio.timeout(self._examiner.settings.scan_timeout_s if suspension else None):
                facts = replace(facts, contents=await self._examiner.read(message))
                hits = await self._examiner.scan(message, facts.contents, ruleset.yara)
                facts = replace(facts, hits=hits.hits, contents=hits.contents)
        except Exception as error:
            _log.exception("examining failed", message=message.sha256, suspended=suspension is not None)
            broken = checks.fault(content.NAME, error)
            if suspension is None:
                return facts, (broken,)
            borne = (checks.suspended(broken, now, policy),)
        try:  # what a suspension of the content check never bears
            facts = self._known_again(message, facts)
        except Exception as error:
            _log.exception("gathering facts failed", at="contents", message=message.sha256)
            return facts, (checks.fault("gather", error),)
        return facts, (*borne, *checks.run(message, facts, policy))

    async def _houses_of(self, envelope: Envelope, policy: Policy) -> Mapping[str, House]:
        """Of what is handed in: where the mail of the sender's and the recipients' bodies goes."""
        if envelope.account is None:
            return {}
        domains = [envelope.sender.domain, *(r.address.domain for r in envelope.recipients)]
        return await self._houses.abroad(filter(None, domains), policy.registry)

    def _known_again(self, message: Message, facts: Facts) -> Facts:
        """What the contents say, by what the message is known again, and of what goes abroad whether it came in."""
        parts = facts.contents.parts
        found = features(parts, self._examiner.settings)
        known = marks.of(message.message_id, found.text, parts)
        facts = replace(facts, features=found, marks=known)
        if message.envelope.account is None:
            return facts
        abroad = any(facts.standing(r.address.domain).national is False for r in message.envelope.recipients)
        came = self._threads.came(known.asked, facts.now - self._window) if abroad and self._window else {}
        return replace(facts, came=came, mentions=mentions.find(message, parts))

    def _with_scope(self, facts: Facts, policy: Policy, reference: str, message: Message | None = None) -> Facts:
        """What exemptions are held against: those used up by another message, and the message's classification."""
        if not policy.exemptions:
            return facts
        level, mark = level_of(message, policy.scheme) if message is not None else (0, "")
        return replace(facts, spent=self._spent.of(policy.once(facts.now), reference), level=level, mark=mark)

    def _unless_stuck(self, message: Message, findings: tuple[Finding, ...]) -> tuple[Finding, ...]:
        """Invariant 2: a message that makes a check fail for the third time is held, not deferred for five days."""
        faults = [f for f in findings if f.rule == checks.FAULT and f.disposition is Disposition.DEFER]
        if not faults:
            return findings
        count = self._faults[message.sha256] = self._faults.pop(message.sha256, 0) + 1
        while len(self._faults) > FAULTS_KEPT:
            self._faults.popitem(last=False)
        if count < MAX_FAULTS:
            return findings
        told = {"checks": [f.check for f in faults], "times": count}
        held = Finding("judging", UNJUDGEABLE, "1", Disposition.HOLD, "unjudgeable", facts=told)
        return (*(f for f in findings if f.rule != checks.FAULT), held)


def _for(verdict: Verdict) -> tuple[Finding, ...]:
    """Its findings, each said of its recipient, so that they speak of nobody else at DATA."""
    return tuple(replace(f, recipients=(verdict.recipient,)) for f in verdict.findings)


def _arrivals(message: Message, facts: Facts, window: timedelta) -> tuple[tuple[bytes, ...], tuple[str, ...]]:
    """By what the message is known again, and who wrote it: of all that goes to somebody national."""
    envelope = message.envelope
    here = any(facts.standing(r.address.domain).national for r in envelope.recipients)
    if not window or not here:
        return (), ()
    writers = dict.fromkeys([plain(envelope.sender)] if envelope.sender else [])
    for name in (b"from", b"reply-to"):
        for header in message.all(name)[:1]:
            writers |= dict.fromkeys(addresses.read(header.value).addresses)
    return facts.marks.lasting, tuple(writers)[:MAX_CORRESPONDENTS]


def _threads(message: Message, facts: Facts, policy: Policy) -> tuple[tuple[str, str, str], ...]:
    """Who abroad may now be answered: (account, foreign address, message id) for what came in on the MX port."""
    envelope = message.envelope
    if envelope.account is not None or not envelope.sender.raw or not message.message_id:
        return ()
    writers = dict.fromkeys([plain(envelope.sender)])
    for name in (b"from", b"reply-to"):
        for header in message.all(name)[:1]:
            writers |= dict.fromkeys(addresses.read(header.value).addresses)
    registry = policy.registry
    foreign = [w for w in writers if not registry.is_national_domain(addresses.domain_of(w))][:MAX_CORRESPONDENTS]
    bodies = [r.address for r in envelope.recipients if registry.by_domain(r.address.domain) is not None]
    return tuple((plain(body), writer, message.message_id) for body in bodies for writer in foreign)
