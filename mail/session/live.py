"""The accounts as they are now: accounts.toml, read again when it changes."""

from __future__ import annotations

from pathlib import Path

from hudhud import log
from mail import accounts
from mail.accounts import Accounts

_log = log.get(__name__)


class LiveAccounts:
    """The accounts of a file, read again when it changes; a file with a mistake is not taken, the old one stays."""

    def __init__(self, path: Path) -> None:
        """AccountsError where the first file is no good."""
        self._path = path
        self._looked = self._look()
        self.value: Accounts = accounts.load(path)
        self.problem: str | None = None

    def refresh(self) -> bool:
        """True when a new file was taken. Never raises."""
        looked = self._look()
        if looked == self._looked:
            return False
        self._looked = looked
        try:
            self.value = accounts.load(self._path)
        except (accounts.AccountsError, OSError) as error:
            self.problem = str(error)
            _log.error("keeping accounts", problem=self.problem)
            return False
        self.problem = None
        return True

    def _look(self) -> tuple[int, int, int]:
        try:
            state = self._path.stat()
        except OSError:
            return 0, 0, 0
        return state.st_mtime_ns, state.st_ino, state.st_size
