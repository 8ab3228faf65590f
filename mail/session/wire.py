"""A connection as the dialog sees it; what implements it is mail/listener.py."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from mail.envelope import Listener
from mail.verdict import Reply

if TYPE_CHECKING:
    from mail.session.shown import Shown


class HungUp(Exception):  # noqa: N818 - the end of a session, not a fault
    """The client is gone, or was told to go."""


class TooSlow(HungUp):
    """Nothing came in time."""


class Endless(HungUp):
    """A line came that has no end."""


class Wire(Protocol):
    """A connection as the dialog sees it. Reading raises HungUp where the other side is gone, TooSlow late."""

    ip: str
    port: int
    listener: Listener
    tls: str | None
    shown: Shown | None  # the certificate of the client

    async def line(self, limit: int, seconds: float) -> bytes | None:
        """The next line without its end; None for one that is longer than `limit` or not ended by CRLF alone."""
        ...

    async def chunk(self, seconds: float) -> bytes:
        """Whatever came, at least one octet."""
        ...

    def unread(self, data: bytes) -> None:
        """These octets come first when something is read again."""
        ...

    def waiting(self) -> bool:
        """Whether the client sent something that was not read yet."""
        ...

    def send(self, *lines: Reply | str) -> None: ...

    async def start_tls(self) -> None:
        """Forget what came in clear, shake hands."""
        ...
