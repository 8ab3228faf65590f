"""Puts TCP segments in order and gives them to the flow's parser (RFC 9293), within bounds.

The first copy of a byte counts. Bytes that the receiver acknowledged but the sensor never saw are a gap, which the
parser is told.
"""

from __future__ import annotations

import struct

from sensors.flow import Flow, Half, Limits

MASK = 0xFFFFFFFF
HALF = 0x80000000
WINDOW = 1 << 24  # bytes ahead of what is expected that can be real


class Streams:
    """Reassembly for all flows of a table. `counters` says which caps were hit and which parsers gave up."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.counters = {
            "out_of_order": 0,
            "gaps": 0,
            "lost_bytes": 0,
            "stream_cap": 0,
            "pending_cap": 0,
            "parser_errors": 0,
        }

    def segment(  # noqa: PLR0917 - the hot path passes numbers, not objects
        self, half: Half, seq: int, data: bytes, start: int, end: int, time: float
    ) -> None:
        """The payload data[start:end] with sequence number `seq`."""
        if half.flow.parser is None:
            return
        if half.next < 0:
            half.next = seq
        ahead = (seq - half.next) & MASK
        if ahead >= HALF:
            start += -ahead & MASK
            if start >= end:
                return
        elif ahead:
            if ahead <= WINDOW:
                self._keep(half, seq, data[start:end], time)
            return
        self._deliver(half, data, start, end, time)
        if half.pending:
            self._drain(half, time)

    def acknowledged(self, half: Half, ack: int, time: float) -> None:
        """The other side has everything before `ack`: what is missing before the kept segments will not come again."""
        while half.pending:
            first = min(half.pending, key=lambda seq: (seq - half.next) & MASK)
            gap = (first - half.next) & MASK
            if gap >= HALF or (ack - first) & MASK >= HALF:
                return
            self._skip_gap(half, gap, time)

    def finish(self, flow: Flow, time: float) -> None:
        """The flow is over: give what is kept, then end the parser."""
        if flow.parser is None:
            return
        for half in (flow.client, flow.server):
            while half.pending and flow.parser is not None:
                first = min(half.pending, key=lambda seq: (seq - half.next) & MASK)
                self._skip_gap(half, (first - half.next) & MASK, time)
        self._close(flow, time)

    def _keep(self, half: Half, seq: int, payload: bytes, time: float) -> None:
        pending = half.pending
        if pending is None:
            pending = half.pending = {}
        old = pending.get(seq)
        if old is None or len(old) < len(payload):
            pending[seq] = payload if old is None else old + payload[len(old) :]
            half.pending_bytes += len(payload) - len(old or b"")
            self.counters["out_of_order"] += 1
        if half.pending_bytes > self._limits.max_pending_bytes or len(pending) > self._limits.max_pending_segments:
            self.counters["pending_cap"] += 1
            first = min(pending, key=lambda kept: (kept - half.next) & MASK)
            self._skip_gap(half, (first - half.next) & MASK, time)

    def _skip_gap(self, half: Half, gap: int, time: float) -> None:
        self.counters["gaps"] += 1
        self.counters["lost_bytes"] += gap
        flow = half.flow
        half.next = (half.next + gap) & MASK
        unseen = gap - min(gap, half.skip)
        half.skip -= gap - unseen
        if unseen and flow.parser is not None and not flow.parser.gap(half, unseen, time):
            self._close(flow, time)
        self._drain(half, time)

    def _drain(self, half: Half, time: float) -> None:
        """Give what has become in order."""
        pending = half.pending
        while pending:
            ready = [seq for seq in pending if (half.next - seq) & MASK < HALF]
            if not ready:
                return
            for seq in sorted(ready, key=lambda kept: (kept - half.next) & MASK):
                payload = pending.pop(seq)
                half.pending_bytes -= len(payload)
                behind = (half.next - seq) & MASK
                if behind < len(payload):
                    self._deliver(half, payload, behind, len(payload), time)

    def _deliver(self, half: Half, data: bytes, start: int, end: int, time: float) -> None:
        half.next = (half.next + end - start) & MASK
        skip = half.skip
        if skip:
            if skip >= end - start:
                half.skip = skip - (end - start)
                return
            half.skip = 0
            start += skip
        flow = half.flow
        parser = flow.parser
        if parser is None:
            return
        half.inspected += end - start
        if half.inspected > self._limits.max_stream_bytes:
            self.counters["stream_cap"] += 1
            self._close(flow, time)
            return
        try:
            parser.feed(half, data[start:end], time)
        except (IndexError, ValueError, struct.error):
            self.counters["parser_errors"] += 1
            self._close(flow, time)

    def _close(self, flow: Flow, time: float) -> None:
        parser, flow.parser = flow.parser, None
        for half in (flow.client, flow.server):
            half.pending = None
            half.pending_bytes = 0
        if parser is not None:
            parser.finish(time)
