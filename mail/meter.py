"""What a worker counts as it goes, for its metrics: counters and histograms by name and labels, in memory.

One a process, like the log: who counts needs nothing handed in. The supervisor reads `snapshot` (mail/node/metrics.py);
the counts begin anew with the process, which Prometheus understands.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from typing import Final

Labels = tuple[str, ...]

MESSAGES: Final = "messages"  # listener, disposition: messages at the end of DATA, by their gravest verdict
REFUSED: Final = "recipients_refused"  # listener, disposition: at RCPT
ATTEMPTS: Final = "attempts"  # result, stage: recipients of attempts; delivered, queued, failed
SESSIONS: Final = "sessions"  # listener: that began
DNS: Final = "dns_questions"  # result: ok, NXDOMAIN, SERVFAIL, TIMEOUT, cached
ACTS: Final = "acts"  # act: of people, by message

JUDGE: Final = "judge_seconds"
DELIVERY: Final = "delivery_seconds"  # from receipt to the next hop's 250
DNS_TIME: Final = "dns_seconds"

LABELS: Final[Mapping[str, Labels]] = {
    MESSAGES: ("listener", "disposition"),
    REFUSED: ("listener", "disposition"),
    ATTEMPTS: ("result", "stage"),
    SESSIONS: ("listener",),
    DNS: ("result",),
    ACTS: ("act",),
    JUDGE: (),
    DELIVERY: (),
    DNS_TIME: (),
}
BUCKETS: Final[Mapping[str, tuple[float, ...]]] = {  # upper bounds, seconds
    JUDGE: (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
    DELIVERY: (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 14_400, 86_400, 432_000),
    DNS_TIME: (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 2.5, 5),
}

_counts: dict[tuple[str, Labels], int] = {}
_filled: dict[str, list[int]] = {name: [0] * (len(bounds) + 1) for name, bounds in BUCKETS.items()}
_sums: dict[str, float] = dict.fromkeys(BUCKETS, 0.0)


def count(name: str, *labels: str, by: int = 1) -> None:
    """One more, or `by` more."""
    key = name, labels
    _counts[key] = _counts.get(key, 0) + by


def observe(name: str, seconds: float) -> None:
    """One more that took so long."""
    _filled[name][bisect_left(BUCKETS[name], seconds)] += 1
    _sums[name] += seconds


def snapshot() -> dict[str, object]:
    """What JSON can hold: [name, labels, count] and name -> [how many in each bucket, their sum]."""
    return {
        "counts": [[name, list(labels), value] for (name, labels), value in sorted(_counts.items())],
        "times": {name: [filled, round(_sums[name], 6)] for name, filled in _filled.items()},
    }
