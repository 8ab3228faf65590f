"""Asks the workers of this machine's relay by their sockets; what they do is in mail/control.py. Loads little."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from hudhud import codec

MAX_ANSWER: Final = 64 * 1024 * 1024  # octets
MAX_SOCKET_PATH: Final = 100  # octets
PATIENCE_S: Final = 30.0

Request = Mapping[str, Any]


class Refused(Exception):  # noqa: N818 - an answer
    """The act was not done: an HTTP status and why."""

    def __init__(self, status: int, problem: str) -> None:
        super().__init__(problem)
        self.status, self.problem = status, problem


class Down(Exception):  # noqa: N818 - a state of the world
    """No worker answers at that socket."""


async def ask(path: Path, request: Request) -> Any:
    """What the worker at the socket answers; Refused where it says no, Down where nobody is there."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            with short(path) as name:
                reader, writer = await asyncio.open_unix_connection(name, limit=MAX_ANSWER)
            try:
                writer.write(codec.encode(request) + b"\n")
                await writer.drain()
                answer = codec.decode(await reader.readline())
            finally:
                writer.close()
    except (OSError, ValueError) as error:
        raise Down(f"{path.name}: {error or type(error).__name__}") from None
    if "error" in answer:
        raise Refused(int(answer.get("status", 500)), str(answer["error"]))
    return answer.get("value")


def sockets(folder: Path) -> list[Path]:
    """The sockets of the workers in the relay's folder, in the workers' order."""
    found = folder.glob("worker-*.sock")
    return sorted(found, key=lambda path: int(path.stem.rpartition("-")[2]) if path.stem[7:].isdigit() else 0)


async def ask_all(folder: Path, request: Request) -> list[Any]:
    """What every worker answers; Down where none does. A worker that is just starting again is passed over."""
    answers, problems = [], ["no worker runs"]
    for path in sockets(folder):
        try:
            answers.append(await ask(path, request))
        except Down as down:
            problems.append(str(down))
    if not answers:
        raise Down(problems[-1])
    return answers


async def ask_owner(folder: Path, request: Request) -> Any:
    """What the worker answers that has the message; Refused(404) where none has it, Down where none answers."""
    down = None if (paths := sockets(folder)) else Down("no worker runs")
    for path in paths:
        try:
            return await ask(path, request)
        except Refused as refused:
            if refused.status != 404:
                raise
        except Down as problem:
            down = problem
    if down is not None:  # the message may be in its shard
        raise down
    raise Refused(404, f"there is no message {request.get('id')!r}")


@contextlib.contextmanager
def short(path: Path) -> Iterator[str]:
    """A name of the path that fits into a socket address (108 octets), however deep the folder lies."""
    if len(os.fsencode(path)) < MAX_SOCKET_PATH:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
