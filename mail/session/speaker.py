"""Who hands mail in on a session: whoever logged in, else the body's own server that the client is. Asked each time.

What an account may do changes while a session lasts: people leave, delegations end, servers are taken off the registry.
So it is asked at MAIL, and again when the message is there.
"""

from __future__ import annotations

from dataclasses import replace

from mail.accounts import Account
from mail.envelope import Address
from mail.facts import plain
from mail.session.login import LoggedIn, Login
from mail.session.servers import Servers
from mail.session.wire import Wire


class Speaker:
    """Of one session."""

    def __init__(self, wire: Wire, login: Login, servers: Servers) -> None:
        self._wire, self._login, self._servers = wire, login, servers
        self._logged: LoggedIn | None = None

    @property
    def logged_in(self) -> bool:
        """Whether somebody logged in on this session."""
        return self._logged is not None

    def enter(self, logged: LoggedIn) -> None:
        """Somebody has logged in."""
        self._logged = logged

    def forget(self) -> None:
        """RFC 3207 section 4.2: what was said in clear does not count."""
        self._logged = None

    def still_good(self) -> bool:
        """False where somebody logged in, and may not any more."""
        if self._logged is None:
            return True
        current = self._login.current(self._logged)
        if current is not None:
            self._logged = current
        return current is not None

    def account(self, sender: Address) -> Account | None:
        """Who sends as `sender` now: a person, a person for a role, a server; None for anybody from outside."""
        if self._logged is not None:
            return self._logged.account.as_role(plain(sender))
        server = self._servers.find(self._wire.ip, self._wire.shown)
        if server is None or not sender:
            return server
        return replace(server, person=self._login.person(plain(sender)))
