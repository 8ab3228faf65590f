"""Which loopback port of a lab is whose."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Ports:
    """The loopback ports of a lab, counted from one base, so that two labs stand beside each other."""

    base: int = 2500

    @property
    def mx(self) -> int:
        return self.base + 25

    @property
    def submission(self) -> int:
        return self.base + 87

    @property
    def submissions(self) -> int:
        return self.base + 65

    @property
    def control(self) -> int:
        return self.base + 30

    @property
    def intake(self) -> int:
        return self.base + 31

    @property
    def console(self) -> int:
        return self.base + 32

    @property
    def setup(self) -> int:
        return self.base + 34

    @property
    def observe(self) -> int:
        return self.base + 33

    @property
    def dns(self) -> int:
        return self.base + 53

    @property
    def elastic(self) -> int:
        return self.base + 92

    def mailbox(self, number: int) -> int:
        return self.base + 100 + number
