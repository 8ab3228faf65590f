"""Structured logs: one JSON object a line for machines, plain lines on a terminal. The one door to structlog."""

from __future__ import annotations

import logging
import sys
from contextlib import AbstractContextManager
from typing import Protocol, TextIO, cast

import msgspec

# structlog draws rich in for the look of tracebacks: two thirds of its import, paid by every process that starts.
_rich = sys.modules.get("rich")
sys.modules["rich"] = None  # type: ignore[assignment]  # Python's own sign for: not to be found
import structlog  # noqa: E402 - while rich is not to be found

del sys.modules["rich"]
if _rich is not None:
    sys.modules["rich"] = _rich

_encoder = msgspec.json.Encoder(enc_hook=repr)
_SECRET_NAMES = frozenset({"password", "secret", "token", "authorization", "cookie", "private_key"})


class Logger(Protocol):
    """What a module logs with: an event in words, and fields by name."""

    def debug(self, event: str, **fields: object) -> None: ...
    def info(self, event: str, **fields: object) -> None: ...
    def warning(self, event: str, **fields: object) -> None: ...
    def error(self, event: str, **fields: object) -> None: ...
    def exception(self, event: str, **fields: object) -> None: ...
    def bind(self, **fields: object) -> Logger: ...


def _hide_secrets(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    for name in _SECRET_NAMES.intersection(event):
        event[name] = "…"
    return event


class _StandardError:
    """Standard error as it is when a line is written: loggers outlive what stood there when they were made."""

    def write(self, text: str) -> int:
        return sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()


def _plain() -> structlog.typing.Processor:
    """For terminals. structlog's own formatter of exceptions would show local variables, and with them secrets."""
    return structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)


def _json(event: structlog.typing.EventDict, **_: object) -> str:
    """One line; what JSON does not hold stands as Python shows it."""
    return _encoder.encode(event).decode()


def configure(level: str = "info", *, json: bool | None = None, program: str = "") -> None:
    """Send logs from `level` up to standard error: JSON lines unless it is a terminal; `program` stands on each."""
    as_json = not sys.stderr.isatty() if json is None else json
    shown: structlog.typing.Processor = structlog.processors.JSONRenderer(serializer=_json) if as_json else _plain()
    trace = [structlog.processors.format_exc_info] if as_json else []
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _hide_secrets,
            *trace,
            shown,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.WriteLoggerFactory(file=cast("TextIO", _StandardError())),
        cache_logger_on_first_use=True,
    )
    if program:
        structlog.contextvars.bind_contextvars(program=program)


def bind(**fields: object) -> None:
    """From here on these stand on each line of this task, and of the tasks and threads that it starts."""
    structlog.contextvars.bind_contextvars(**fields)


def unbind(*names: str) -> None:
    """From here on they stand there no more."""
    structlog.contextvars.unbind_contextvars(*names)


def bound(**fields: object) -> AbstractContextManager[None]:
    """Inside it these stand on each line."""
    return structlog.contextvars.bound_contextvars(**fields)


def get(name: str) -> Logger:
    """The logger of the module `name`."""
    return cast("Logger", structlog.get_logger(module=name))
