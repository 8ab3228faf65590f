"""Judging with care: bounded in time, never raising; a message on which it fails three times is held (invariant 2).

A crash of the worker in the middle counts as a failure (mail/session/strikes.py). What fails by our fault is a finding
that defers, like any other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final, Protocol

from hudhud import log
from hudhud.settings import Relay as Settings
from mail import checks, limits
from mail.envelope import Envelope, Recipient
from mail.judge import judge
from mail.limits import Limits
from mail.message import Message
from mail.session.strikes import Strikes
from mail.verdict import Disposition, Finding, Judgement, Verdict

UNJUDGEABLE: Final = "H-CONTENT-01"

_log = log.get(__name__)


class Judge(Protocol):
    """What is asked of mail.judging.Judging."""

    async def at_rcpt(self, envelope: Envelope, recipient: Recipient, *, reference: str = "") -> Verdict: ...
    async def at_data(self, message: Message, rcpt_verdicts: Sequence[Verdict]) -> Judgement: ...


class Careful:
    """One worker's way to a judgement, for what comes in and for what is judged again."""

    def __init__(self, judge: Judge, strikes: Strikes, limits: Limits, settings: Settings) -> None:
        self._judge, self._strikes, self._limits, self._settings = judge, strikes, limits, settings

    async def at_rcpt(self, envelope: Envelope, recipient: Recipient, *, reference: str = "") -> Verdict:
        """The verdict by the envelope alone."""
        return await self._judge.at_rcpt(envelope, recipient, reference=reference)

    async def at_data(self, message: Message, taken: Sequence[Verdict]) -> Judgement:
        """The judgement, or within `judge_timeout_s` one that defers; the third failure holds."""
        if self._strikes.given_up(message.sha256):
            return self._without(message, taken, unjudgeable())
        try:
            with self._strikes.judging(message.sha256):
                async with asyncio.timeout(self._settings.judge_timeout_s):
                    return await self._judge.at_data(message, taken)
        except Exception as error:
            _log.exception("judging failed", queue_id=message.queue_id)
            if isinstance(error, TimeoutError):
                self._limits.hit(limits.JUDGING)
            once_too_often = self._strikes.failed(message.sha256)
            finding = unjudgeable() if once_too_often else checks.fault("judge", error)
            return self._without(message, taken, finding)

    def _without(self, message: Message, taken: Iterable[Verdict], finding: Finding) -> Judgement:
        """A judgement that stands on RCPT's findings and on the one that says why there is no more."""
        found = [replace(f, recipients=(v.recipient,)) for v in taken for f in v.findings]
        return judge((*found, finding), message.envelope, help_url=self._settings.help_url, reference=message.queue_id)


def unjudgeable() -> Finding:
    """Held for a person to look at."""
    return Finding("relay", UNJUDGEABLE, "1", Disposition.HOLD, "unjudgeable")
