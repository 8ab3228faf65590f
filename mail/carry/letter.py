"""The bytes that go on to the next hop: our signature, our trace headers, the message as it came but for its edits."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from mail.carry.parcel import Addressee, Parcel
from mail.shelf.bodies import INLINE_BYTES, BodyGone
from mail.shelf.stored import Stored, Waiting, edited
from mail.sign import Signer
from mail.spool import Spool


class Memory:
    """How many octets of messages wait in memory."""

    def __init__(self) -> None:
        self.octets = 0


class Letter:
    """A message under way: its bytes as they came, while they are in memory, and as they go on, once needed."""

    def __init__(self, stored: Stored, spool: Spool, signer: Signer, memory: Memory) -> None:
        self.stored, self._spool, self._signer, self._memory = stored, spool, signer, memory
        self._memory.octets += len(stored.data or b"")
        self._content: bytes | None = None

    async def content(self) -> bytes:
        """What goes on; BodyError where it can no longer be read. Signed once, however many ways it goes."""
        if self._content is None:
            stored = self.stored
            if stored.size <= INLINE_BYTES:
                self._content = assemble(stored, self._spool.data(stored), self._signer)
            else:
                data = await asyncio.to_thread(self._read)
                self._content = await asyncio.to_thread(assemble, stored, data, self._signer)
            self.drop_data()
        return self._content

    def _read(self) -> bytes:
        """Who holds a message seals it first: then it lies in another file a moment later."""
        try:
            return self._spool.data(self.stored)
        except BodyGone:
            return self._spool.data(self.stored)

    def drop_data(self) -> None:
        """The bytes as they came are no longer needed in memory: they are on disk."""
        if self.stored.data is not None:
            self._memory.octets -= len(self.stored.data)
            self.stored = replace(self.stored, data=None)


def assemble(stored: Stored, data: bytes, signer: Signer) -> bytes:
    """Signed where it came from one of our accounts or is our own; what comes from others keeps its own signatures.

    What a body's own server hands in is signed in the name of that body only.
    """
    content = stored.trace + edited(data, stored.edits)
    if not stored.account and stored.listener != "own":
        return content
    head, body = split(content)
    return signer.sign(head, body, entity=stored.entity if "/" in stored.account else "") + content


def split(content: bytes) -> tuple[bytes, bytes]:
    """Header with its last CRLF, and body; the empty line between them is in neither (RFC 5322 section 2.1)."""
    if content.startswith(b"\r\n"):
        return b"", content[2:]
    end = content.find(b"\r\n\r\n")
    return (content, b"") if end < 0 else (content[: end + 2], content[end + 4 :])


def parcel(stored: Stored, waiting: tuple[Waiting, ...], content: bytes) -> Parcel:
    """What delivery is handed. SMTPUTF8 is asked for only where an address or the header needs it (RFC 6531 §3.6)."""
    to = tuple(Addressee(one.address, one.notify, one.orcpt) for one in waiting)
    utf8 = not (stored.sender.isascii() and all(one.address.isascii() for one in to))
    if stored.smtputf8 and not utf8:
        utf8 = not split(content)[0].isascii()
    return Parcel(stored.sender, to, content, stored.body, utf8, stored.ret, stored.envid, stored.requiretls)
