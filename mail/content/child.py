"""The child process that unpacks what is risky: archives, office files, RTF, PDF; it may die, the relay does not.

It reads frames on standard input and writes frames on standard output: four octets of length, then MessagePack.
Limits of memory and processor time are set on itself before the first one; it opens no file and no socket.
"""

from __future__ import annotations

import resource
import struct
import sys
from collections.abc import Iterator
from typing import IO

import msgspec

from mail.content.opened import Job, Opened


def main() -> None:
    """One job after another until standard input ends."""
    memory = int(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    sys.stdout = sys.stderr  # what a library prints must not get between the frames
    for frame in frames(source):
        job = msgspec.msgpack.decode(frame, type=Job)
        used = resource.getrusage(resource.RUSAGE_SELF)
        seconds = int(used.ru_utime + used.ru_stime + job.seconds) + 2
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, resource.RLIM_INFINITY))
        send(sink, msgspec.msgpack.encode(_open(job)))


def _open(job: Job) -> Opened:
    from mail.content import openers

    try:
        return openers.OPENERS[job.kind](job)
    except MemoryError:
        return Opened(limits=("unpack_memory",))
    except Exception as error:  # a damaged file makes libraries raise anything
        return Opened(problem=f"damaged ({type(error).__name__})")


def frames(source: IO[bytes]) -> Iterator[bytes]:
    """Each frame's content until the stream ends."""
    while len(head := source.read(4)) == 4:
        yield source.read(struct.unpack(">I", head)[0])


def send(sink: IO[bytes], content: bytes) -> None:
    """One frame."""
    sink.write(struct.pack(">I", len(content)) + content)
    sink.flush()


if __name__ == "__main__":
    main()
