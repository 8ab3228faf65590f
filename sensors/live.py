"""Packets of an interface: AF_PACKET with a TPACKET_V3 ring, walked block by block (Linux,
Documentation/networking/packet_mmap).
"""

from __future__ import annotations

import mmap
import select
import socket
import struct
from collections.abc import Iterator

from sensors.wire import Block, Record

BLOCK_BYTES = 1 << 20
BLOCKS = 32  # ring of 32 MiB
FRAME_BYTES = 2048  # only divides blocks; V3 packs packets of any length
RETIRE_MS = 100  # a block that is not full is handed over after so long

_ETH_P_ALL = 3
_SOL_PACKET, _RX_RING, _STATISTICS, _VERSION, _IGNORE_OUTGOING = 263, 5, 6, 10, 23
_TPACKET_V3 = 2
_RAW_IP, _ETHERNET = 101, 1
_LOOPBACK, _NO_HEADER = 772, 65534  # ARPHRD_ values
_HEADER = struct.Struct("=IIIIIIHH")  # next, seconds, nanoseconds, captured, wire, status, mac, net


class LiveProblem(OSError):  # noqa: N818 - a state of the machine that the user is told
    """The interface cannot be watched: the message says why and what to do."""


class LiveCapture:
    """One interface. Needs CAP_NET_RAW."""

    def __init__(self, interface: str, *, blocks: int = BLOCKS) -> None:
        self.interface = interface
        self.packets = 0  # seen by the kernel
        self.drops = 0  # lost because the ring was full
        try:
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        except PermissionError:
            raise LiveProblem(
                f"watching {interface} needs the right CAP_NET_RAW (root, or AmbientCapabilities in its unit)"
            ) from None
        try:
            self._open(blocks)
        except OSError as error:
            self._socket.close()
            raise LiveProblem(f"{interface} cannot be watched: {error.strerror or error}") from None

    def _open(self, blocks: int) -> None:
        link = self._socket
        link.setsockopt(_SOL_PACKET, _VERSION, _TPACKET_V3)
        size = BLOCK_BYTES * blocks
        ring = struct.pack("=7I", BLOCK_BYTES, blocks, FRAME_BYTES, size // FRAME_BYTES, RETIRE_MS, 0, 0)
        link.setsockopt(_SOL_PACKET, _RX_RING, ring)
        self._map = mmap.mmap(link.fileno(), size)
        self._blocks, self._next = blocks, 0
        link.bind((self.interface, _ETH_P_ALL))
        kind = link.getsockname()[3]
        self.link = _RAW_IP if kind == _NO_HEADER else _ETHERNET
        if kind == _LOOPBACK:
            link.setsockopt(_SOL_PACKET, _IGNORE_OUTGOING, 1)  # else each packet comes twice
        self._poll = select.poll()
        self._poll.register(link, select.POLLIN | select.POLLERR)

    def blocks(self, timeout_s: float = 1.0) -> Iterator[Block]:
        """What is there now, waiting up to `timeout_s` for the first."""
        if not self._ready():
            self._poll.poll(int(timeout_s * 1000))
        for _ in range(self._blocks):
            if not self._ready():
                return
            yield self._take()

    def _ready(self) -> bool:
        return bool(self._map[self._next * BLOCK_BYTES + 8] & 1)

    def _take(self) -> Block:
        """Copy a block out and give it back to the kernel."""
        start = self._next * BLOCK_BYTES
        count, at, length = struct.unpack_from("=III", self._map, start + 12)
        data = bytes(self._map[start : start + max(length, at)])
        struct.pack_into("=I", self._map, start + 8, 0)
        self._next = (self._next + 1) % self._blocks
        records: list[Record] = []
        for _ in range(count):
            step, seconds, nanoseconds, captured, wire, _, mac, _ = _HEADER.unpack_from(data, at)
            records.append((seconds + nanoseconds * 1e-9, at + mac, at + mac + captured, wire))
            at += step
        return Block(self.link, data, records)

    def count(self) -> None:
        """Bring `packets` and `drops` up to date; the kernel counts since the last look."""
        packets, drops, _ = struct.unpack("=III", self._socket.getsockopt(_SOL_PACKET, _STATISTICS, 12))
        self.packets += packets
        self.drops += drops

    def close(self) -> None:
        self._map.close()
        self._socket.close()
