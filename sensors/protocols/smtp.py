"""SMTP and LMTP: greeting, HELO, envelopes, STARTTLS (RFC 5321, 2033, 3030, 3207, 4954); one observation a mail
transaction.

Message content is stepped over, never kept. A session without a transaction gives one observation at its end.
"""

from __future__ import annotations

from collections import deque

from hudhud.event import Value
from sensors.flow import Flow, Half
from sensors.observation import Observation, Tell
from sensors.protocols.lines import Lines, login_fields, plain_user, text, unbase64

MAX_RECIPIENTS = 1000  # kept of one transaction
MAX_WAITING = 1000  # commands without their replies
MAX_BANNER_BYTES = 200
_COMMAND, _ASKED, _CONTENT, _LOGIN = "command", "data asked", "content", "login"
_END = (b"\r\n.\r\n", b"\n.\n", b"\n.\r\n")


class Smtp:
    """Commands are paired with replies, so that a refused EHLO or DATA changes nothing."""

    name = "smtp"

    def __init__(self, flow: Flow, tell: Tell) -> None:
        self._flow, self._tell = flow, tell
        self._lines = {True: Lines(), False: Lines()}
        self._mode = _COMMAND
        self._tail = b"\r\n"
        self._waiting: deque[str] = deque()
        self._heard = False  # the server's side is in the capture
        self._session: dict[str, Value] = {}
        self._sender: str | None = None
        self._recipients: list[str] = []
        self._login: dict[str, str | bool] = {}
        self._done = False  # content was sent, its reply is waited for
        self._told = False
        self._time = flow.first

    def feed(self, half: Half, data: bytes, time: float) -> None:
        self._time = time
        self._lines[half.client].add(data)
        if half.client:
            self._client(half, time)
        else:
            self._server(half, time)

    def _client(self, half: Half, time: float) -> None:
        lines = self._lines[True]
        while lines.buffer and self._flow.parser is self and not half.skip:
            if self._mode == _ASKED:
                if self._heard and len(lines.buffer) < 4096:
                    return
                self._mode, self._tail = _CONTENT, b"\r\n"
            if self._mode == _CONTENT:
                if not self._content(half, lines):
                    return
                continue
            line = lines.next()
            if line is None:
                return
            if self._mode == _LOGIN:
                self._login_line(line)
            else:
                self._command(half, lines, line, time)

    def _content(self, half: Half, lines: Lines) -> bool:
        """Look for the end of the message; False where it has not come."""
        half.inspected = 0
        data = self._tail + lines.buffer
        ends = [(at, len(end)) for end in _END if (at := data.find(end)) >= 0]
        if not ends:
            self._tail, lines.buffer = data[-4:], b""
            return False
        at, size = min(ends)
        lines.buffer = data[at + size :]
        self._mode = _COMMAND
        self._content_over()
        return True

    def _content_over(self) -> None:
        self._done = True
        self._expect("CONTENT")
        if not self._heard:
            self._transaction()

    def _expect(self, command: str) -> None:
        if len(self._waiting) < MAX_WAITING:
            self._waiting.append(command)

    def _command(self, half: Half, lines: Lines, line: bytes, time: float) -> None:
        upper = line[:10].upper()
        verb = upper.partition(b" ")[0].decode("latin-1")
        argument = line[len(verb) + 1 :].strip()
        if verb in ("EHLO", "HELO", "LHLO"):
            self._session.setdefault("hudhud.smtp.helo", text(argument.split(b" ")[0], 256))
            if not self._heard:
                self._transaction()
        elif upper.startswith(b"MAIL FROM:"):
            verb = "MAIL"
            if self._sender is None or self._done or not self._heard:
                self._transaction()
                self._sender = _path(line[10:])
        elif upper.startswith(b"RCPT TO:"):
            verb = "RCPT"
            if len(self._recipients) < MAX_RECIPIENTS:
                self._recipients.append(_path(line[8:]))
        elif verb == "DATA":
            self._mode = _ASKED
        elif verb == "BDAT":
            self._chunk(half, lines, argument)
            return
        elif verb == "RSET":
            self._transaction()
        elif verb == "AUTH":
            self._auth(argument)
        self._expect(verb)

    def _chunk(self, half: Half, lines: Lines, argument: bytes) -> None:
        """RFC 3030: the content follows at once, its length is told."""
        size, _, last = argument.partition(b" ")
        length = int(size) if size.isdigit() and len(size) < 16 else 0
        used = min(length, len(lines.buffer))
        lines.buffer = lines.buffer[used:]
        half.skip, half.inspected = length - used, 0
        if last.strip().upper() == b"LAST":
            self._content_over()
        else:
            self._expect("BDAT")

    def _auth(self, argument: bytes) -> None:
        mechanism, _, initial = argument.partition(b" ")
        method = text(mechanism, 32).lower()
        user = plain_user(initial) if method == "plain" else text(unbase64(initial), 256) if method == "login" else ""
        self._login = login_fields(user, method, clear=method in ("plain", "login"))
        if not (method == "plain" and initial):
            self._mode = _LOGIN

    def _login_line(self, line: bytes) -> None:
        """An answer to a challenge: the account where it is one, nothing of the rest."""
        if "user.name" not in self._login:
            method = self._login["hudhud.auth.method"]
            user = plain_user(line) if method == "plain" else text(unbase64(line), 256) if method == "login" else ""
            self._login.update(login_fields(user, str(method), bool(self._login["hudhud.auth.clear"])))

    def _server(self, half: Half, time: float) -> None:
        lines = self._lines[False]
        while self._flow.parser is self and (line := lines.next()) is not None:
            half.inspected = 0
            if not line[:3].isdigit():
                continue
            if not self._heard:
                self._heard = True
                if line[:3] == b"220":
                    self._session["hudhud.smtp.banner"] = text(line[4:], MAX_BANNER_BYTES)
                    if line[3:4] != b"-":
                        continue
            if line[3:4] != b"-":
                self._reply(int(line[:3]), lines.buffer, time)

    def _reply(self, code: int, left: bytes, time: float) -> None:
        if self._mode == _LOGIN and code != 334:
            self._mode = _COMMAND
        if not self._waiting or code == 334:
            return
        command = self._waiting.popleft()
        if command == "DATA" and self._mode == _ASKED:
            self._mode, self._tail = (_CONTENT, b"\r\n") if code == 354 else (_COMMAND, b"\r\n")
            self._client(self._flow.client, time)
        elif command in ("EHLO", "HELO", "LHLO") and code == 250 and self._sender is not None and not self._done:
            self._transaction()
        elif command == "CONTENT":
            self._session["hudhud.smtp.reply"] = str(code)
            self._transaction()
            self._session.pop("hudhud.smtp.reply", None)
        elif command == "STARTTLS" and code == 220:
            self._session["hudhud.smtp.starttls"] = True
            self._tell_session(time)
            self._into_tls()
        elif command == "AUTH":
            self._login["event.outcome"] = "success" if code == 235 else "failure"

    def _into_tls(self) -> None:
        from sensors.protocols import tunnel_within

        tunnel_within(self._flow, self._tell)

    def _transaction(self) -> None:
        """Tell the transaction that is open, if one is."""
        if self._sender is not None or self._recipients:
            fields: dict[str, Value] = {"network.protocol": "smtp", **self._session, **self._login}
            if self._sender is not None:
                fields["email.from.address"] = [self._sender]
            if self._recipients:
                fields["email.to.address"] = list(self._recipients)
            self._told = True
            self._tell(Observation("smtp", self._time, self._flow, fields))
        self._sender, self._recipients, self._done = None, [], False

    def _tell_session(self, time: float) -> None:
        self._transaction()
        if not self._told:
            self._told = True
            self._tell(
                Observation("smtp", time, self._flow, {"network.protocol": "smtp", **self._session, **self._login})
            )

    def gap(self, half: Half, size: int, time: float) -> bool:
        """Lost bytes of a message matter little; lost commands cost the commands."""
        if half.client and self._mode in (_ASKED, _CONTENT):
            self._mode, self._tail = _CONTENT, b""
        else:
            self._lines[half.client] = Lines()
        return True

    def finish(self, time: float) -> None:
        if self._session or self._sender is not None or self._login:
            self._tell_session(self._time)


def _path(data: bytes) -> str:
    """The address between < and >, or the first word; "<>" for the null sender."""
    data = data.strip()
    if data.startswith(b"<"):
        return text(data[1:].partition(b">")[0], 320) or "<>"
    return text(data.split(b" ")[0], 320)
