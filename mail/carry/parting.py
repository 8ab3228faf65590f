"""What a sender is told when people delete a message that was not delivered: a DSN, without their reason (RFC 3464)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from hudhud.settings import Settings
from mail import dsn
from mail.attempt import Attempt
from mail.carry import outcome
from mail.limits import DSNS, Limits
from mail.shelf.bodies import BodyError
from mail.shelf.stored import NewRecipient, Own, Stored, Waiting, edited, shown_address
from mail.spool import Spool

WORDS: Final = "5.7.1 removed by the administration of this mail relay"


class Parting:
    """One shard's; at most so many an hour to one sender as there are other DSNs. Blocking: it reads the body."""

    def __init__(self, spool: Spool, settings: Settings, limits: Limits | None = None) -> None:
        self._spool, self._limits = spool, limits
        self._relay = dsn.Relay(settings.relay.hostname, settings.relay.postmaster)
        self._share = 1.0 / max(settings.delivery.dsns_per_hour_per_sender, 1)  # of a sender's hour

    def __call__(self, stored: Stored, recipients: Sequence[tuple[int, NewRecipient]], now: datetime) -> Sequence[Own]:
        """Nothing for who may not be told: our own mail, the MX port's (no backscatter), NOTIFY without FAILURE."""
        if not stored.bounce or stored.kind != "mail":
            return ()
        waiting = [Waiting(place, r.address, r.domain, r.notify, r.orcpt) for place, r in recipients]
        attempt = Attempt(False, True, WORDS, "", now, "local")
        told = [dsn.Told(one, "failed", attempt) for one in waiting if dsn.wants(one, "failed")]
        if not told:
            return ()
        if self._limits is not None and not self._limits.take(DSNS, shown_address(stored.sender), self._share):
            return ()
        try:
            content = stored.trace + edited(self._spool.data(stored), stored.edits)
        except BodyError:
            content = stored.trace
        headers_only = replace(stored, ret="HDRS")  # it may be what nobody should have again
        return outcome.notifications(headers_only, told, content, self._relay, now)
