"""POP3 (RFC 1939, 2595, 5034): that a log-in was tried, how, and whether it went in clear; the password is never
kept.
"""

from __future__ import annotations

from hudhud.event import Value
from sensors.flow import Flow, Half
from sensors.observation import Observation, Tell
from sensors.protocols.lines import MAX_USER_BYTES, Lines, login_fields, plain_user, text, unbase64


class Pop3:
    """One observation a log-in, or one for a conversation that has none."""

    name = "pop3"

    def __init__(self, flow: Flow, tell: Tell) -> None:
        self._flow, self._tell = flow, tell
        self._lines = {True: Lines(), False: Lines()}
        self._fields: dict[str, Value] = {"network.protocol": "pop3"}
        self._user = ""
        self._login: dict[str, str | bool] = {}
        self._asked = ""  # the command whose reply decides
        self._challenge = ""  # SASL mechanism whose responses come as lines
        self._told = False
        self._time = flow.first

    def feed(self, half: Half, data: bytes, time: float) -> None:
        self._time = time
        lines = self._lines[half.client]
        lines.add(data)
        while self._flow.parser is self and (line := lines.next()) is not None:
            if half.client:
                self._command(line)
            else:
                self._reply(line, time)

    def _command(self, line: bytes) -> None:
        if self._challenge:
            self._response(line)
            return
        verb, _, argument = line.partition(b" ")
        name = verb.upper().decode("latin-1")
        if name == "USER":
            self._user = text(argument.strip(), MAX_USER_BYTES)
        elif name == "PASS":
            self._login, self._asked = login_fields(self._user, "pass", clear=True), name
        elif name == "APOP":
            self._login, self._asked = (
                login_fields(text(argument.split(b" ")[0], MAX_USER_BYTES), "apop", clear=False),
                name,
            )
        elif name == "AUTH" and argument:
            mechanism, _, initial = argument.partition(b" ")
            self._challenge = text(mechanism.strip(), 32).lower()
            self._login = login_fields("", self._challenge, clear=self._challenge in ("plain", "login"))
            self._asked = name
            if initial:
                self._response(initial)
        elif name == "STLS":
            self._asked = name

    def _response(self, line: bytes) -> None:
        if "user.name" not in self._login:
            user = (
                plain_user(line)
                if self._challenge == "plain"
                else text(unbase64(line), 256)
                if self._challenge == "login"
                else ""
            )
            self._login = login_fields(user, self._challenge, clear=bool(self._login["hudhud.auth.clear"]))

    def _reply(self, line: bytes, time: float) -> None:
        if line.startswith(b"+ ") or not line.startswith((b"+OK", b"-ERR")):
            return
        good = line.startswith(b"+OK")
        if "hudhud.pop3.banner" not in self._fields and not self._asked:
            self._fields["hudhud.pop3.banner"] = text(line[4:], 200)
        asked, self._asked, self._challenge = self._asked, "", ""
        if asked == "STLS" and good:
            from sensors.protocols import tunnel_within

            self._fields["hudhud.pop3.starttls"] = True
            self._told = True
            self._tell(Observation("pop3", time, self._flow, self._fields))
            tunnel_within(self._flow, self._tell)
        elif asked in ("PASS", "APOP", "AUTH"):
            self._tell_login("success" if good else "failure", time)
            if good:
                self._flow.parser = None

    def _tell_login(self, outcome: str, time: float) -> None:
        self._told = True
        self._tell(Observation("pop3", time, self._flow, {**self._fields, **self._login, "event.outcome": outcome}))
        self._login = {}

    def gap(self, half: Half, size: int, time: float) -> bool:
        self._lines[half.client] = Lines()
        return True

    def finish(self, time: float) -> None:
        if self._login:
            self._tell_login("unknown", self._time)
        elif not self._told:
            self._told = True
            self._tell(Observation("pop3", self._time, self._flow, self._fields))
