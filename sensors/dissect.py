"""The one door to scapy: link types that we have no decoder for, and the layers that the demo capture is made of."""

from __future__ import annotations

import os
from typing import Any

from sensors.link import IPV4, IPV6

MAX_DISSECTED = 20_000  # packets of a run: scapy takes 0.3 ms for each

Found = tuple[int, bytes]


class Dissector:
    """Finds the IP packet in frames of rare link types (IEEE 802.11, PPI, …). Loads scapy at the first one."""

    def __init__(self) -> None:
        self.counters = {"dissected": 0, "over_cap": 0}
        self._scapy: Any = None

    def __call__(self, link: int, frame: bytes) -> Found:
        """(EtherType, the packet from its network header on); (0, b"") where there is none."""
        if self.counters["dissected"] >= MAX_DISSECTED:
            self.counters["over_cap"] += 1
            return 0, b""
        self.counters["dissected"] += 1
        if self._scapy is None:
            self._scapy = layers()
        kind = self._scapy.conf.l2types.num2layer.get(link)
        if kind is None:
            return 0, b""
        try:
            packet = kind(frame)
            for layer, ether_type in ((self._scapy.IP, IPV4), (self._scapy.IPv6, IPV6)):
                if layer in packet:
                    return ether_type, _original(packet, layer)
        except Exception:
            self.counters["refused"] = self.counters.get("refused", 0) + 1
        return 0, b""


def _original(packet: Any, layer: Any) -> bytes:
    """The bytes as they came, not as scapy would build them."""
    found = packet[layer]
    return bytes(found.original or b"")


def layers() -> Any:
    """scapy.all, without its reading of the machine's routes and its warnings."""
    os.environ.setdefault("SCAPY_DISABLE_SSL", "1")
    import logging

    logging.getLogger("scapy.runtime").setLevel(logging.ERROR)
    import scapy.all

    return scapy.all
