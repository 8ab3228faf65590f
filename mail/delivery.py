"""Hands a message to its next hop over SMTP or LMTP; what the world answers becomes one Attempt a recipient.

The bytes and addresses that were judged are the bytes and addresses that are sent (invariants 3 and 4): nothing is
re-parsed, only dots are stuffed; a bare CR, LF or NUL never leaves.
"""

from __future__ import annotations

import asyncio
import random
import re
import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence

from hudhud.clock import SYSTEM, Clock
from hudhud.settings import Delivery as Limits
from mail.attempt import Attempt, Stage
from mail.carry.connection import Answer, Connection, Features, Lost, printable
from mail.carry.failover import Broke, Failures, elsewhere
from mail.carry.parcel import Parcel
from mail.carry.pool import NotSecure, Pool
from mail.route import Hop, Target

CHUNK = 256 * 1024  # octets written at once
DATA_WAIT = 120.0  # seconds for 354; RFC 5321 section 4.5.3.2.4
BLOCK_WAIT = 180.0  # seconds for one block to be taken; section 4.5.3.2.5
FINAL_WAIT = 600.0  # seconds for the reply to the final dot; section 4.5.3.2.6
MAX_SESSIONS = 3  # hosts of one next hop that may put us off before the message waits for its next turn

_PATH = re.compile(rb'(?:"(?:[^\x00-\x1f\x7f"\\]|\\[^\x00-\x1f\x7f])*"|[^\x00-\x20\x7f<>"])*\Z')
_PARAMETER = re.compile(r"[!-~]{1,500}\Z")


class Delivery:
    """The client side of SMTP and LMTP, with connections kept for the next message."""

    def __init__(
        self,
        limits: Limits,
        helo: str,
        *,
        tls: Mapping[str, ssl.SSLContext] | None = None,
        dial: Callable[[str, int], tuple[str, int]] = lambda host, port: (host, port),
        clock: Clock = SYSTEM,
        learned: Callable[[Hop, Features], None] = lambda hop, features: None,
    ) -> None:
        """`learned` hears of each new connection what its next hop offers."""
        self._limits, self._clock = limits, clock
        self._pool = Pool(limits, helo, tls or {}, dial, clock, learned=learned)

    def features(self, hop: Hop) -> Features | None:
        """What the next hop offered when we last spoke to it; None where that is not known."""
        return self._pool.features.get(hop.key)

    async def deliver(self, parcel: Parcel, hop: Hop) -> tuple[Attempt, ...]:
        """One Attempt for each recipient, in their order. Never raises for what the world does."""
        large = len(parcel.content) > CHUNK
        objection = await asyncio.to_thread(unsendable, parcel) if large else unsendable(parcel)
        if objection:
            return self._all(parcel, f"5.6.0 {objection}", hop.name, "local", permanent=True)
        put_off: tuple[Attempt, ...] | None = None
        sessions, failures = 0, Failures()
        for target in self._order(hop):
            try:
                result = await self._try(parcel, hop, target)
            except Lost as lost:
                failures.note(target, lost)
                continue
            if not elsewhere(result):
                return result
            sessions += 1
            put_off = result if put_off is None or put_off[0].permanent else put_off
            if sessions >= MAX_SESSIONS:
                break
        if put_off is not None:
            return put_off
        reply, permanent = failures.words(requiretls=parcel.requiretls)
        return self._all(parcel, reply, hop.name, failures.stage, permanent=permanent)

    def _order(self, hop: Hop) -> list[Target]:
        """By preference, equal ones shuffled, where a connection waits first; what was silent a moment ago last."""
        if len(hop.targets) == 1:
            return list(hop.targets)
        pool = self._pool

        def rank(one: Target) -> tuple[bool, int, bool, float]:
            return pool.silent(one), one.preference, not pool.idle(hop, one), random.random()  # noqa: S311 - spreads load

        return sorted(hop.targets, key=rank)

    async def _try(self, parcel: Parcel, hop: Hop, target: Target) -> tuple[Attempt, ...]:
        """The attempts at one address; Lost where nothing was said of the message."""
        for fresh in (False, True):
            line = await self._pool.take(hop, target, fresh=fresh, requiretls=parcel.requiretls)
            if parcel.requiretls and hop.protocol == "smtp" and not line.features.requiretls:
                self._pool.give_back(hop, target, line)
                raise NotSecure("it does not offer REQUIRETLS, which the sender asked for (RFC 8689)")
            reused = line.messages > 0
            wait = self._limits.reply_timeout_s
            result = await _Exchange(parcel, hop, target, line, within=wait, clock=self._clock).run()
            self._pool.give_back(hop, target, line)
            if result is not None:
                return result
            if not reused:  # an old connection that broke says nothing of the host
                break
        raise Broke(line.lost)

    async def close(self) -> None:
        """End every idle connection."""
        await self._pool.close()

    def _all(
        self, parcel: Parcel, reply: str, host: str, stage: Stage, *, permanent: bool = False
    ) -> tuple[Attempt, ...]:
        one = Attempt(False, permanent, printable(reply.encode())[:1000], host, self._clock.now(), stage)
        return (one,) * len(parcel.recipients)


class _Exchange:
    """One transaction on one connection."""

    def __init__(
        self, parcel: Parcel, hop: Hop, target: Target, line: Connection, *, within: float, clock: Clock
    ) -> None:
        self._parcel, self._hop, self._target, self._line = parcel, hop, target, line
        self._wait, self._clock = within, clock
        self._outcome: list[Attempt | None] = [None] * len(parcel.recipients)
        self._content_sent = False

    async def run(self) -> tuple[Attempt, ...] | None:
        """The attempts; None where the connection broke before anything was said of the message: try elsewhere."""
        features = self._line.features
        objection = unfit(self._parcel, features)
        if objection:
            self._rest(objection, "mail", permanent=True)
            return self._attempts()
        self._line.messages += 1
        try:
            accepted = await self._envelope(features)
            if accepted:
                await self._content(accepted)
        except Lost as lost:
            if not self._content_sent and not any(self._outcome):
                return None
            self._rest(f"4.4.2 {self._target.name}: {lost}", "data" if self._content_sent else "rcpt")
        except asyncio.CancelledError:
            self._line.abort("we stopped")
            raise
        return self._attempts()

    async def _envelope(self, features: Features) -> list[int]:
        """MAIL, RCPT and DATA up to 354; the recipients (by place) for whom the content is to be sent."""
        line, wait = self._line, self._wait
        mail, rcpts = mail_command(self._parcel, features), rcpt_commands(self._parcel, features)
        if features.pipelining:
            line.send(b"".join((mail, *rcpts, b"DATA\r\n")), len(rcpts) + 2)
        answer = await (line.answer(wait) if features.pipelining else line.ask(mail, wait))
        mailed = answer.good
        if not mailed:
            self._answered(range(len(rcpts)), answer, "mail")
        accepted: list[int] = []
        for place, rcpt in enumerate(rcpts):
            if not mailed and not features.pipelining:
                break
            answer = await (line.answer(wait) if features.pipelining else line.ask(rcpt, wait))
            if mailed and answer.good:
                accepted.append(place)
            elif mailed:
                self._answered([place], answer, "rcpt")
        if not accepted and not features.pipelining:
            await line.ask(b"RSET\r\n", wait)
            return []
        go = await (line.answer(DATA_WAIT) if features.pipelining else line.ask(b"DATA\r\n", DATA_WAIT))
        if go.code == 354 and accepted:
            return accepted
        if go.code == 354:
            await line.ask(b".\r\n", wait)  # RFC 2920 section 3.1: it waits for content though nobody is to get it
        self._answered(accepted, go, "data")
        await line.ask(b"RSET\r\n", wait)
        return []

    async def _content(self, accepted: list[int]) -> None:
        content = self._parcel.content
        replies = len(accepted) if self._hop.protocol == "lmtp" else 1
        self._content_sent = True
        if len(content) <= CHUNK:
            self._line.send(dot_stuffed(content) + b".\r\n", replies)
        else:
            for number, block in enumerate(blocks(content)):
                self._line.send(block, 0 if number else replies)
                await self._line.drain(BLOCK_WAIT)
            self._line.send(b".\r\n", 0)
        if self._hop.protocol == "lmtp":
            for place in accepted:  # RFC 2033 section 4.2: one reply a recipient that was accepted, in their order
                self._answered([place], await self._line.answer(FINAL_WAIT), "done")
        else:
            self._answered(accepted, await self._line.answer(FINAL_WAIT), "done")

    def _answered(self, places: Sequence[int], answer: Answer, stage: Stage) -> None:
        delivered = answer.good and stage == "done"
        permanent = not delivered and answer.code >= 500
        line, final = self._line, self._hop.protocol == "lmtp"
        handed, now = line.features.dsn and not final, self._clock.now()
        for place in places:
            self._outcome[place] = Attempt(
                delivered, permanent, answer.text, self._target.name, now, stage, True, line.tls, handed, final
            )

    def _rest(self, reply: str, stage: Stage, *, permanent: bool = False) -> None:
        """What was not answered gets our own words."""
        ours = Attempt(False, permanent, reply[:1000], self._target.name, self._clock.now(), stage)
        self._outcome = [one or ours for one in self._outcome]

    def _attempts(self) -> tuple[Attempt, ...]:
        return tuple(one for one in self._outcome if one is not None)


def dot_stuffed(content: bytes) -> bytes:
    """RFC 5321 section 4.5.2."""
    stuffed = content.replace(b"\r\n.", b"\r\n..")
    return b"." + stuffed if stuffed.startswith(b".") else stuffed


def blocks(content: bytes, size: int = CHUNK) -> Iterator[bytes]:
    """The content dot-stuffed in blocks of about `size` octets, which end where lines do if they can."""
    at, begins_line = 0, True
    while at < len(content):
        end = content.rfind(b"\n", at, at + size) + 1 or min(at + size, len(content))
        if content[end - 1 : end + 1] == b"\r\n":  # never between the two
            end += 1
        block = content[at:end]
        stuffed = block.replace(b"\r\n.", b"\r\n..")
        yield b"." + stuffed if begins_line and block.startswith(b".") else stuffed
        at, begins_line = end, block.endswith(b"\n")


def unsendable(parcel: Parcel) -> str:
    """Why no next hop may be sent this, "" for nothing: the last door against smuggling (RFC 5321 section 2.3.8)."""
    content = parcel.content
    ends = content.count(b"\r\n")
    if content.count(b"\r") != ends or content.count(b"\n") != ends or not content.endswith(b"\r\n"):
        return "the message has a bare CR or LF, or its last line has no end"
    if b"\0" in content:
        return "the message has a NUL"
    if not all(_PATH.match(address) for address in (parcel.sender, *(r.address for r in parcel.recipients))):
        return "an address has bytes that must not be sent"
    return ""


def unfit(parcel: Parcel, features: Features) -> str:
    """Why this next hop cannot take the message, as a status and words; "" where it can."""
    if features.size is not None and len(parcel.content) > features.size:
        return f"5.3.4 the message has {len(parcel.content)} octets, the next hop takes {features.size}"
    if parcel.utf8 and not features.utf8:
        return "5.6.7 the next hop does not take addresses or headers outside ASCII (no SMTPUTF8)"
    if not features.eight_bit and not parcel.content.isascii():
        return "5.6.3 the next hop does not take 8-bit content (no 8BITMIME), and a signed message is not rewritten"
    return ""


def mail_command(parcel: Parcel, features: Features) -> bytes:
    """MAIL with the parameters that were asked for and are offered."""
    words = [b"MAIL FROM:<" + parcel.sender + b">"]
    if features.offers_size:
        words.append(b"SIZE=%d" % len(parcel.content))
    if features.eight_bit and (parcel.body == "8BITMIME" or not parcel.content.isascii()):
        words.append(b"BODY=8BITMIME")
    if parcel.utf8:
        words.append(b"SMTPUTF8")
    if parcel.requiretls and features.requiretls:
        words.append(b"REQUIRETLS")
    if features.dsn:
        words += _parameters(RET=parcel.ret, ENVID=parcel.envid)
    return b" ".join(words) + b"\r\n"


def rcpt_commands(parcel: Parcel, features: Features) -> list[bytes]:
    """RCPT for each recipient, with NOTIFY and ORCPT where DSN is offered."""
    commands = []
    for one in parcel.recipients:
        words = [b"RCPT TO:<" + one.address + b">"]
        if features.dsn:
            words += _parameters(NOTIFY=one.notify, ORCPT=one.orcpt)
        commands.append(b" ".join(words) + b"\r\n")
    return commands


def _parameters(**given: str | None) -> list[bytes]:
    return [f"{name}={value}".encode() for name, value in given.items() if value and _PARAMETER.match(value)]
