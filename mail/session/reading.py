"""Reads the content of a message to its end: patiently, but not for ever (RFC 5321 section 4.5.3.2)."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

from hudhud import log
from hudhud.settings import Relay as Settings
from mail.session import answers
from mail.session.incoming import Incoming
from mail.session.wire import HungUp, TooSlow, Wire

REST_S: Final = 10.0  # how long the end of a message that is refused already is waited for

_log = log.get(__name__)


def begin(settings: Settings, folder: Path | None) -> Incoming:
    """What takes a message within the limits of the settings; `folder` is where a large one lies, unnamed."""
    return Incoming(
        limit=settings.max_message_bytes,
        memory=settings.memory_body_bytes,
        folder=folder,
        header=settings.max_header_bytes,
        lines=settings.max_message_lines,
    )


async def read(wire: Wire, incoming: Incoming, settings: Settings) -> None:
    """The message to its end; what came behind it goes back to the wire. TooSlow late.

    One that is refused already is waited for shortly, then its client hears why and is cut (HungUp). So is one that
    cannot be read to its end by a fault of ours: what is left of it would be taken for commands.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + settings.data_timeout_s
    rest: bytes | None = None
    while rest is None:
        patience = min(settings.command_timeout_s, max(until - loop.time(), 0.0))
        try:
            chunk = await wire.chunk(min(patience, REST_S) if incoming.problem else patience)
        except TooSlow:
            if incoming.problem is None:
                raise
            wire.send(incoming.problem)
            raise HungUp from None
        try:
            rest = incoming.feed(chunk)
        except Exception:
            _log.exception("a message could not be read", ip=wire.ip)
            wire.send(answers.CLOSING)
            raise HungUp from None
    wire.unread(rest)
