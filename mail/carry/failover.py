"""When the next host of a next hop is tried, and what is said where none of them took the message."""

from __future__ import annotations

from collections.abc import Sequence

from mail.attempt import Attempt, Stage
from mail.carry.connection import Lost
from mail.carry.pool import NotSecure
from mail.route import Target


class Broke(Lost):
    """It broke off before it said anything of the message."""


class Failures:
    """Why no address took the message, the last one's words; `stage` tells the lane whether to mind."""

    def __init__(self) -> None:
        self.stage: Stage = "connect"
        self._words = "4.4.4 the next hop has no address"
        self._reachable = True  # every address that was tried could be reached

    def note(self, target: Target, lost: Lost) -> None:
        secure = not isinstance(lost, NotSecure)
        status = "4.4.2" if isinstance(lost, Broke) else "4.4.1" if secure else "4.7.5"
        self._words = f"{status} {target.name}: {lost}"
        self._reachable = self._reachable and not secure

    def words(self, *, requiretls: bool) -> tuple[str, bool]:
        """The reply, and whether it is for good: where every host answers and none is as the sender requires."""
        final = requiretls and self._reachable and self._words.startswith("4.7.5")
        if final:
            self.stage = "local"
            return "5.7.30" + self._words.removeprefix("4.7.5"), True
        return self._words, False


def elsewhere(attempts: Sequence[Attempt]) -> bool:
    """Whether another host may do better: the whole message was put off, or does not fit this one."""
    if any(one.delivered or one.stage in ("data", "done") for one in attempts):
        return False
    if all(one.stage == "mail" and (not one.permanent or not one.remote) for one in attempts):
        return True
    return all(one.remote and one.reply.startswith("421") for one in attempts)
