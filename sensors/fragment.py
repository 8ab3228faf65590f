"""Puts IPv4 and IPv6 fragments together, within bounds (RFC 791, RFC 8200, RFC 5722: IPv6 overlaps are dropped)."""

from __future__ import annotations

from dataclasses import dataclass, field

MAX_DATAGRAMS = 4096  # datagrams waited for at once
MAX_FRAGMENTS = 128  # of one datagram
MAX_BYTES = 65_535  # of one datagram
TIMEOUT_S = 30.0  # RFC 8200 gives 60 s; a sensor has less patience


@dataclass(slots=True)
class _Datagram:
    began: float
    total: int = -1  # bytes; known once the last fragment came
    parts: dict[int, bytes] = field(default_factory=dict)


class Defragmenter:
    """Waits for the rest of datagrams. `counters` says what was finished, and each cap that was hit."""

    def __init__(self) -> None:
        self._waiting: dict[tuple[bytes, int, int], _Datagram] = {}
        self.counters = {"fragments": 0, "datagrams": 0, "expired": 0, "evicted": 0, "refused": 0}

    def add(
        self, key: tuple[bytes, int, int], time: float, offset: int, more: bool, payload: bytes, *, strict: bool
    ) -> bytes | None:
        """The whole payload when `payload` at `offset` (bytes) was the last part that was missing.

        `key` is (source and destination, protocol, identification). The first copy of a byte wins, as in BSD;
        with `strict` (IPv6) an overlap ends the datagram.
        """
        self.counters["fragments"] += 1
        waiting = self._waiting
        datagram = waiting.get(key)
        if datagram is not None and not 0 <= time - datagram.began <= TIMEOUT_S:
            del waiting[key]
            self.counters["expired"] += 1
            datagram = None
        if datagram is None:
            if len(waiting) >= MAX_DATAGRAMS:
                del waiting[next(iter(waiting))]
                self.counters["evicted"] += 1
            datagram = waiting[key] = _Datagram(time)
        end = offset + len(payload)
        if end > MAX_BYTES or len(datagram.parts) >= MAX_FRAGMENTS or (strict and _overlaps(datagram, offset, end)):
            del waiting[key]
            self.counters["refused"] += 1
            return None
        if not more and datagram.total < 0:
            datagram.total = end
        if len(payload) > len(datagram.parts.get(offset, b"")):
            datagram.parts[offset] = payload
        if datagram.total < 0:
            return None
        whole = _joined(datagram)
        if whole is not None:
            del waiting[key]
            self.counters["datagrams"] += 1
        return whole


def _overlaps(datagram: _Datagram, offset: int, end: int) -> bool:
    return any(
        offset < at + len(part) and at < end and (at, len(part)) != (offset, end - offset)
        for at, part in datagram.parts.items()
    )


def _joined(datagram: _Datagram) -> bytes | None:
    whole = bytearray()
    for at in sorted(datagram.parts):
        if at > len(whole):
            return None
        whole += datagram.parts[at][len(whole) - at :]
    return bytes(whole[: datagram.total]) if len(whole) >= datagram.total else None
