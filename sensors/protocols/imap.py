"""IMAP (RFC 9051, 3501): that a log-in was tried, how, and whether it went in clear; the password is never kept."""

from __future__ import annotations

import re

from hudhud.event import Value
from sensors.flow import Flow, Half
from sensors.observation import Observation, Tell
from sensors.protocols.lines import MAX_USER_BYTES, Lines, login_fields, plain_user, text, unbase64

_COMMAND = re.compile(rb"([A-Za-z0-9.]{1,32}) ([A-Za-z]+)(?: (.*))?\Z", re.DOTALL)
_START = re.compile(rb"[A-Za-z0-9.]{1,32} (?:CAPABILITY|LOGIN|STARTTLS|AUTHENTICATE|ID|NOOP)\b", re.IGNORECASE)
_WORD = re.compile(rb'"((?:[^"\\]|\\.)*)"|\{(\d{1,6})\+?\}\Z|([^ ]+)')
_QUOTED = re.compile(rb"\\(.)")


def begins(client: bytes) -> bool:
    """Whether a client's first bytes are an IMAP command."""
    return _START.match(client) is not None


class Imap:
    """One observation a log-in, or one for a conversation that has none."""

    name = "imap"

    def __init__(self, flow: Flow, tell: Tell) -> None:
        self._flow, self._tell = flow, tell
        self._lines = {True: Lines(), False: Lines()}
        self._fields: dict[str, Value] = {"network.protocol": "imap"}
        self._login: dict[str, str | bool] = {}
        self._tag = b""  # of the command whose reply decides
        self._asked = ""
        self._literal = False  # the next line begins with the account name
        self._told = False
        self._time = flow.first

    def feed(self, half: Half, data: bytes, time: float) -> None:
        self._time = time
        lines = self._lines[half.client]
        lines.add(data)
        while self._flow.parser is self and (line := lines.next()) is not None:
            if half.client:
                self._client(line)
            else:
                self._server(line, time)

    def _client(self, line: bytes) -> None:
        if self._literal:
            self._literal = False
            self._login = login_fields(text(line.split(b" ")[0], MAX_USER_BYTES), "login", clear=True)
            return
        if self._asked == "AUTHENTICATE":
            self._response(line)
            return
        match = _COMMAND.match(line)
        if match is None:
            return
        name, argument = match[2].upper().decode(), match[3] or b""
        if name == "LOGIN":
            self._tag, self._asked = match[1], name
            word = _WORD.match(argument)
            user = b""
            if word is not None:
                self._literal = word[2] is not None
                user = _QUOTED.sub(rb"\1", word[1]) if word[1] is not None else word[3] or b""
            self._login = login_fields(text(user, MAX_USER_BYTES), "login", clear=True)
        elif name == "AUTHENTICATE":
            self._tag, self._asked = match[1], name
            mechanism, _, initial = argument.partition(b" ")
            method = text(mechanism, 32).lower()
            self._login = login_fields("", method, clear=method in ("plain", "login"))
            if initial:
                self._response(initial)
        elif name == "STARTTLS":
            self._tag, self._asked = match[1], name

    def _response(self, line: bytes) -> None:
        if "user.name" not in self._login:
            method = str(self._login.get("hudhud.auth.method", ""))
            user = plain_user(line) if method == "plain" else text(unbase64(line), 256) if method == "login" else ""
            self._login = login_fields(user, method, clear=bool(self._login.get("hudhud.auth.clear")))

    def _server(self, line: bytes, time: float) -> None:
        if line.startswith(b"* "):
            if "hudhud.imap.banner" not in self._fields:
                self._fields["hudhud.imap.banner"] = text(line[2:], 200)
            return
        if not self._tag or not line.startswith(self._tag + b" "):
            return
        good = line[len(self._tag) + 1 :].upper().startswith(b"OK")
        asked, self._asked, self._tag = self._asked, "", b""
        if asked == "STARTTLS" and good:
            from sensors.protocols import tunnel_within

            self._told = True
            self._tell(Observation("imap", time, self._flow, {**self._fields, "hudhud.imap.starttls": True}))
            tunnel_within(self._flow, self._tell)
        elif asked in ("LOGIN", "AUTHENTICATE"):
            self._tell_login("success" if good else "failure", time)
            if good:
                self._flow.parser = None

    def _tell_login(self, outcome: str, time: float) -> None:
        self._told = True
        self._tell(Observation("imap", time, self._flow, {**self._fields, **self._login, "event.outcome": outcome}))
        self._login = {}

    def gap(self, half: Half, size: int, time: float) -> bool:
        self._lines[half.client] = Lines()
        return True

    def finish(self, time: float) -> None:
        if self._login:
            self._tell_login("unknown", self._time)
        elif not self._told:
            self._told = True
            self._tell(Observation("imap", self._time, self._flow, self._fields))
