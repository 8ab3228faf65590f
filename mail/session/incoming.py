"""DATA as it streams in: ends at CRLF.CRLF only, refuses bare CR, bare LF and NUL, takes the stuffed dots off, counts.

RFC 5321 sections 2.3.8, 4.1.1.4 and 4.5.2. Memory stays below `memory` octets and one chunk, whatever the client sends:
what is larger goes to an unnamed file, what is refused goes nowhere.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import IO, Final

from hudhud import log
from mail.limits import HEADER, LINES, SIZE
from mail.verdict import Reply

END: Final = b"\r\n.\r\n"

BARE: Final = Reply(554, "5.6.0", "Lines end with CR LF; a bare CR or LF is not taken (RFC 5321 section 2.3.8)")
NUL: Final = Reply(554, "5.6.0", "A NUL octet is not taken (RFC 5322 section 4)")
NO_ROOM: Final = Reply(452, "4.3.1", "The mail system is full; try again later")

_log = log.get(__name__)


class Incoming:
    """One message on its way in: `feed` it chunks until it gives back what came behind the end."""

    def __init__(
        self,
        *,
        limit: int,
        memory: int,
        folder: Path | None = None,
        header: int | None = None,
        lines: int | None = None,
    ) -> None:
        """`limit`, `memory` and `header` (of the header) in octets, `lines` in lines, None: as many as `limit`.

        `folder` is where a large message lies, unnamed.
        """
        self.size = 0  # octets of content so far, dots taken off
        self.came = 0  # octets that came in all
        self.lines = 0
        self.problem: Reply | None = None
        self.hit = ""  # the name of the limit that it is past
        self._limit, self._memory, self._folder = limit, memory, folder
        self._header = limit if header is None else header
        self._lines = limit if lines is None else lines
        self._head_end: bytes | None = b"\r\n"  # what the header ended with so far; None behind it
        self._tail = b"\r\n"  # the line end of "DATA": a dot alone in the first line ends it too
        self._skip = len(self._tail)
        self._kept = bytearray()
        self._file: IO[bytes] | None = None

    def feed(self, chunk: bytes) -> bytes | None:
        """None while the end has not come; else what came behind it (commands that were sent along)."""
        self.came += len(chunk)
        pending = self._tail + chunk
        end = pending.find(END)
        if end >= 0:
            self._take(pending[: end + 2])
            self._tail = b""
            return pending[end + len(END) :]
        cut = pending.rfind(b"\r\n")
        if cut < len(pending) - 4:  # no end can begin there any more: CRLF and two octets of the rest
            cut = len(pending) - pending.endswith(b"\r")
        self._take(pending[:cut])
        self._tail = pending[cut:]
        return None

    def data(self) -> bytes:
        """All of it; call it once, after the end."""
        if self._file is None:
            return bytes(self._kept)
        self._file.seek(0)
        return self._file.read()

    def close(self) -> None:
        """Forget everything."""
        self._kept.clear()
        if self._file is not None:
            self._file.close()
            self._file = None

    def _take(self, piece: bytes) -> None:
        if self.problem is None:
            ends = piece.count(b"\r\n")
            if piece.count(b"\r") != ends or piece.count(b"\n") != ends:
                self._refuse(BARE)
            elif b"\0" in piece:
                self._refuse(NUL)
            self.lines += ends
            if self.lines > self._lines and self.problem is None:
                self.hit = LINES
                self._refuse(too_many_lines(self._lines))
        if b"\r\n." in piece:
            piece = piece.replace(b"\r\n.", b"\r\n")
        if self._skip:
            self._skip, piece = max(0, self._skip - len(piece)), piece[self._skip :]
        if self._head_end is not None:
            self._measure_header(piece)
        self.size += len(piece)
        if self.size > self._limit and not self.hit:
            self.hit = SIZE
            self._refuse(self.problem or too_large(self._limit))
        if self.problem is None:
            self._keep(piece)

    def _measure_header(self, piece: bytes) -> None:
        """A header that costs more than it can mean is not read further (it would be, by everything that judges)."""
        before = self._head_end or b""
        end = (before + piece).find(b"\r\n\r\n")
        if self.size + (len(piece) if end < 0 else end) > self._header and self.problem is None:
            self.hit = HEADER
            self._refuse(header_too_large(self._header))
        self._head_end = None if end >= 0 or self.problem is not None else (before + piece)[-3:]

    def _refuse(self, reply: Reply) -> None:
        self.problem = reply
        self.close()

    def _keep(self, piece: bytes) -> None:
        if self._file is None and len(self._kept) + len(piece) <= self._memory:
            self._kept += piece
            return
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(dir=self._folder, buffering=0)  # noqa: SIM115 - closed with the message
                _write(self._file.fileno(), self._kept)
                self._kept = bytearray()
            _write(self._file.fileno(), piece)
        except OSError as error:  # no room, no descriptor: read on to the end, or the rest would be taken for commands
            _log.error("a message cannot be kept while it is read", problem=error.strerror or type(error).__name__)
            self._refuse(NO_ROOM)


def too_large(limit: int) -> Reply:
    """RFC 1870 section 6.1."""
    return Reply(552, "5.3.4", f"The message is larger than the {limit} octets that are taken here")


def too_many_lines(limit: int) -> Reply:
    return Reply(552, "5.3.4", f"The message has more than the {limit} lines that are taken here")


def header_too_large(limit: int) -> Reply:
    return Reply(552, "5.3.4", f"The header of the message is larger than the {limit} octets that are taken here")


def _write(descriptor: int, data: bytes | bytearray) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
