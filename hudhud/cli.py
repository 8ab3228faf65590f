"""What a command line prints and how it ends: exit codes, JSON lines, tables, progress. The one door to rich."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from enum import IntEnum
from typing import Protocol

from hudhud import codec


class Exit(IntEnum):
    """Exit codes, the same for every command."""

    DONE = 0
    NO = 1  # a check failed, nothing was found
    USAGE = 2  # usage or configuration
    UNAVAILABLE = 3  # a service that is needed is down
    INTERRUPTED = 130


class Problem(Exception):  # noqa: N818 - it is what the user is told, not a fault of the program
    """Ends a command with one clear line on standard error, which says what, where and how to mend it."""

    def __init__(self, message: str, exit: Exit = Exit.USAGE) -> None:
        super().__init__(message)
        self.exit = exit


def out(text: str = "") -> None:
    """One line on standard output."""
    sys.stdout.write(text + "\n")


def err(text: str) -> None:
    """One line on standard error."""
    sys.stderr.write(text + "\n")


def out_json(value: object) -> None:
    """One JSON value on one line."""
    sys.stdout.write(codec.encode(value).decode() + "\n")


def visible(text: str) -> str:
    """`text` from outside, safe for a terminal: control and bidi characters are shown as \\uXXXX."""
    return "".join(c if c.isprintable() or c == " " else f"\\u{ord(c):04x}" for c in text)


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table on standard output, as wide as it needs where that is no terminal."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table(title=title or None, title_justify="left", header_style="bold")
    for column in columns:
        drawn.add_column(column, overflow="fold")
    for row in rows:
        drawn.add_row(*(Text(visible("" if cell is None else str(cell))) for cell in row))
    console = Console(file=sys.stdout, width=None if sys.stdout.isatty() else 160)
    console.print(drawn)


class Progress(Protocol):
    """What `progress` hands out."""

    def advance(self, steps: float = 1, note: str = "") -> None: ...


class _Lines:
    """Progress where there is no terminal: a line at each tenth of the way."""

    def __init__(self, description: str, total: float) -> None:
        self._description, self._total, self._done, self._shown = description, total, 0.0, 0

    def advance(self, steps: float = 1, note: str = "") -> None:
        self._done += steps
        tenth = int(self._done * 10 / self._total) if self._total else 10
        if tenth > self._shown:
            self._shown = tenth
            err(f"{self._description}: {min(tenth * 10, 100)} % {note}".rstrip())


@contextmanager
def progress(description: str, total: float) -> Iterator[Progress]:
    """Progress over `total` steps: a bar on a terminal, plain lines elsewhere; always on standard error."""
    if not sys.stderr.isatty():
        yield _Lines(description, total)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Bar(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(description, total=total)

        class _Bar:
            def advance(self, steps: float = 1, note: str = "") -> None:
                bar.update(task, advance=steps, description=f"{description} {note}".rstrip())

        yield _Bar()
