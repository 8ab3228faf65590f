"""What a back end is asked and what it answers; the values that mail/session/login.py and the back ends share."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from mail.accounts import Row


@dataclass(frozen=True, slots=True)
class Asked:
    """Who wants in: `address` as local@domain in normal form, its account if accounts.toml has one, from where."""

    address: str
    row: Row | None
    ip: str

    @property
    def domain(self) -> str:
        return self.address.rpartition("@")[2]


@dataclass(frozen=True, slots=True)
class Known:
    """Whom a back end knows: the account's address, others that it says belong to it, and until when this is good.

    `stamp` is what must still stand in accounts.toml for the log-in to hold; "" where another back end decided.
    """

    address: str
    addresses: frozenset[str] = frozenset()
    until: datetime | None = None
    stamp: str = ""


class BackendDown(Exception):  # noqa: N818 - it names what is down, the fault is not this program's
    """A back end that could not say yes or no: never a reason to say that a password is wrong."""

    def __init__(self, backend: str, problem: str) -> None:
        super().__init__(f"{backend}: {problem}")
        self.backend, self.problem = backend, problem


class NotOffered(Exception):  # noqa: N818 - an answer to the client
    """The back end of that domain does not speak the mechanism."""


class Exchange(Protocol):
    """One conversation of several steps."""

    async def step(self, message: bytes) -> bytes | Known | None:
        """What to say to the client next, or who it is, or None: it is not. BackendDown, ValueError for nonsense."""
        ...

    def close(self) -> None:
        """It is over, however far it came."""
        ...


class Backend(Protocol):
    """Who knows the passwords of some domains."""

    name: str

    @property
    def mechanisms(self) -> frozenset[str]:
        """Those beyond PLAIN and LOGIN that it can do."""
        ...

    async def verify(self, asked: Asked, password: bytes) -> Known | None:
        """Who that is, None where the password is wrong or nobody has that address. BackendDown."""
        ...

    async def exchange(self, mechanism: str, asked: Asked, *, main: bool = True) -> Exchange:
        """A conversation; without `main` only an app password ends it well. NotOffered, BackendDown."""
        ...

    async def close(self) -> None: ...
