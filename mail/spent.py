"""Exemptions for one message: which message used them, over all workers of the node; a file each in the spool's folder.

The use is claimed before the message is stored and given back where it cannot be: a crash in between costs the use,
never a second message. Other nodes hear of it by the event: until the desk ends it, each node would let one pass.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Final

from hudhud import durable
from mail.verdict import Disposition, Verdict, used_once

FOLDER: Final = "spent"
KEPT_S: Final = 7 * 86_400.0  # seconds; the exemption itself lasts an hour


class AlreadySpent(Exception):  # noqa: N818 - an answer
    """Another message used the exemption between this one's judgement and now."""


class Spent:
    """Any process of the node."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def of(self, ids: Collection[str], queue_id: str) -> frozenset[str]:
        """Those of the exemptions that another message than `queue_id` used."""
        return frozenset(name for name in ids if self._by(name) not in ("", queue_id))

    def claim_all(self, verdicts: Iterable[Verdict], queue_id: str) -> Sequence[str]:
        """What the message uses up for the recipients that get it. AlreadySpent where another message was quicker."""
        named = dict.fromkeys(used_once(one) for one in verdicts if one.disposition < Disposition.DEFER)
        claimed: list[str] = []
        for name in filter(None, named):
            if not self.claim(name, queue_id):
                for mine in claimed:
                    self.give_back(mine, queue_id)
                raise AlreadySpent(name)
            claimed.append(name)
        return claimed

    def claim(self, id: str, queue_id: str) -> bool:
        """Whether the message may use it: nobody else did. Durable when it returns. OSError."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._forget()
        try:
            durable.create(self._folder / id, queue_id.encode(), mode=durable.PRIVATE)
        except FileExistsError:
            return self._by(id) == queue_id
        durable.sync_folder(self._folder)
        return True

    def give_back(self, id: str, queue_id: str) -> None:
        """The message was not stored."""
        if self._by(id) == queue_id:
            (self._folder / id).unlink(missing_ok=True)

    def _by(self, id: str) -> str:
        """The message that used it; "" for none. One that is being written just now counts as another's."""
        try:
            return (self._folder / id).read_text("ascii", "replace") or "?"
        except OSError:
            return ""

    def _forget(self) -> None:
        before = time.time() - KEPT_S
        for path in self._folder.iterdir():
            with contextlib.suppress(OSError):
                if path.stat().st_mtime < before:
                    path.unlink()
