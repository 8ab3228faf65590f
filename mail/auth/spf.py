"""Asks whether a client may send for a domain: SPF (RFC 7208). The one door to pyspf.

The library asks one name after another and waits; it does so in a thread of its own, and each question goes back to the
relay's resolver, so that cache, time limits and a zone file in a test count for it too.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import re
import threading
from collections.abc import Callable
from typing import Any, Final, cast, get_args

import spf as library

from mail.auth.results import Spf, Word
from mail.dns import FAILURES, Answer, Kind, Resolver, failed, preference

SECONDS: Final = 20.0  # for one message, RFC 7208 section 4.6.4
THREADS: Final = 4  # messages of one worker that are asked for at once

MAX_NAME: Final = 253  # octets of a domain name as text (RFC 1035 section 2.3.4)

_LABELS: Final = re.compile(r"(?:[^.]{1,63}\.)*[^.]{1,63}\.?")
_KINDS: Final = frozenset({"A", "AAAA", "MX", "PTR", "TXT"})
_WORDS: Final = frozenset(get_args(Word))

Ask = Callable[[str, Kind], Answer]


class _Asking(threading.local):
    ask: Ask | None = None


_asking = _Asking()
_threads = concurrent.futures.ThreadPoolExecutor(THREADS, "spf")


async def check(ip: str, sender: str, helo: str, resolver: Resolver) -> Spf:
    """The result for MAIL FROM `sender` (local@domain, "" for the null sender) from `ip`. Never raises."""
    domain = sender.rpartition("@")[2] or helo
    if "." not in domain.strip(".") or domain[:1] == "[" or len(domain) > MAX_NAME or not _LABELS.fullmatch(domain):
        return Spf("none", domain, not sender)
    records = await resolver.txt(domain)
    if failed(records):
        return Spf("temperror", domain, not sender)
    if isinstance(records, str) or not any(record[:6].lower() == "v=spf1" for record in records):
        return Spf("none", domain, not sender)
    loop = asyncio.get_running_loop()

    def ask(name: str, kind: Kind) -> Answer:
        return asyncio.run_coroutine_threadsafe(resolver.ask(name, kind), loop).result(SECONDS)

    try:
        async with asyncio.timeout(SECONDS):
            word = await loop.run_in_executor(_threads, evaluate, ip, sender, helo, ask)
    except TimeoutError:
        word = "temperror"
    return Spf(word, domain, not sender)


def evaluate(ip: str, sender: str, helo: str, ask: Ask) -> Word:
    """The same, waiting; `ask` answers about names."""
    _asking.ask = ask
    try:
        query = library.query(i=ip, s=sender or f"postmaster@{helo}", h=helo, timeout=SECONDS, querytime=SECONDS)
        word = str(query.check()[0]).lower()
    except (concurrent.futures.CancelledError, TimeoutError, RuntimeError):
        return "temperror"
    except Exception:  # a record that the library cannot read makes it raise anything
        return "permerror"
    finally:
        _asking.ask = None
    return cast("Word", word) if word in _WORDS else "permerror"


def _lookup(name: str, kind: str, strict: bool = True, timeout: float = SECONDS) -> list[tuple[tuple[str, str], Any]]:
    """What the library asks the world for, in the form that it wants."""
    del strict, timeout
    ask = _asking.ask
    if ask is None or kind not in _KINDS:  # SPF records of type 99 are no more (RFC 7208 section 3.1)
        return []
    answer = ask(name, cast("Kind", kind))
    if failed(answer):
        raise library.TempError(f"DNS {answer}")
    return [((name, kind), _value(kind, text)) for text in answer if answer not in FAILURES]


def _value(kind: str, text: str) -> object:
    if kind == "MX":
        return preference(text)
    return (text.encode("utf-8", "surrogateescape"),) if kind == "TXT" else text


library.DNSLookup = _lookup
