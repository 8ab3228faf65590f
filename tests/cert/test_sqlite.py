"""The embedded store keeps the contract of every store."""

from __future__ import annotations

from pathlib import Path

from cert.sqlite import SqliteStore
from cert.store import Store
from hudhud.clock import VirtualClock
from tests.conformance.store import StoreContract


class TestSqliteStore(StoreContract):
    async def make(self, clock: VirtualClock) -> Store:
        folder: Path = self.request.getfixturevalue("tmp_path")
        return SqliteStore(folder, clock)
