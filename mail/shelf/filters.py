"""Which messages of the spool are meant: filters as SQL, for lists, for acts on many, and for what they would touch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from mail.shelf.due import Read
from mail.shelf.stored import LIVE

ALL: Final = (1 << 62) - 1  # beyond every number


@dataclass(frozen=True, slots=True)
class Filter:
    """What is meant; an empty field asks for nothing. `state` "" or "all" means every state.

    `sender`, `recipient` and `account` are found anywhere in the address, whatever the case; `domain` is the
    recipient's, exactly; `rule` holds the message; ages are seconds. `entity` is a body's code, of the account or, by
    `entity_domains`, of a recipient. `hop` is how the name of a next hop begins that was tried, `hop_domains` are the
    domains that go there now. `below` is the number to go on below.
    """

    state: str = ""
    sender: str = ""
    recipient: str = ""
    domain: str = ""
    account: str = ""
    rule: str = ""
    older_than: float = 0.0
    newer_than: float = 0.0
    entity: str = ""
    entity_domains: tuple[str, ...] = ()
    hop: str = ""
    hop_domains: tuple[str, ...] = ()
    by_person: bool = False  # only what no rule holds
    below: int = ALL

    @property
    def live(self) -> bool:
        """Whether only what waits or is held can fit."""
        return self.state in LIVE


@dataclass(slots=True)
class Touched:
    """What an act would touch: each message's number, and for people how many, since when, to which domains."""

    numbers: list[int] = field(default_factory=list)
    recipients: int = 0
    domains: Counter[str] = field(default_factory=Counter)

    def __iadd__(self, other: Touched) -> Touched:
        self.numbers += other.numbers
        self.recipients += other.recipients
        self.domains.update(other.domains)
        return self


def numbers(read: Read, wanted: Filter, now: float, limit: int) -> list[int]:
    """The newest messages that fit, at most `limit`."""
    where, bindings = conditions(wanted, now)
    query = f"SELECT m.number FROM messages m WHERE {' AND '.join(where)} ORDER BY m.number DESC LIMIT ?"  # noqa: S608
    return [row[0] for row in read(query, (*bindings, limit))]


def touched(read: Read, wanted: Filter, states: Sequence[str], now: float, limit: int) -> Touched:
    """The messages that fit and have recipients in one of `states`, the oldest first; what is counted are those."""
    where, bindings = conditions(wanted, now)
    inner, of_recipient = _of_recipient(wanted)
    literal = ", ".join(f"'{one}'" for one in states if one in LIVE)  # as literals: see _of_recipient
    query = (
        f"SELECT r.number, r.domain FROM recipients r WHERE r.state IN ({literal})"  # noqa: S608 - our words
        f" AND r.number IN (SELECT m.number FROM messages m WHERE {' AND '.join(where)} ORDER BY m.number LIMIT ?)"
        f"{''.join(f' AND {one}' for one in inner)} ORDER BY r.number"
    )
    found = Touched()
    for number, domain in read(query, (*bindings, limit, *of_recipient)):
        if not found.numbers or found.numbers[-1] != number:
            found.numbers.append(number)
        found.recipients += 1
        found.domains[domain] += 1
    return found


def conditions(wanted: Filter, now: float) -> tuple[list[str], list[object]]:
    """On `messages m`, with what is bound in them."""
    parts, values = ["m.number < ?"], list[object]([wanted.below])
    inner, of_recipient = _of_recipient(wanted)
    if inner:
        parts.append(f"m.number IN (SELECT r.number FROM recipients r WHERE {' AND '.join(inner)})")  # noqa: S608 - our words
        values += of_recipient
    for clause, value in (
        ("instr(lower(CAST(m.sender AS TEXT)), ?) > 0", wanted.sender.lower()),
        ("instr(lower(m.account), ?) > 0", wanted.account.lower()),
    ):
        if value:
            parts.append(clause)
            values.append(value)
    if wanted.entity:
        inside = _in("r.domain", wanted.entity_domains)
        parts.append(f"(m.entity = ? OR m.number IN (SELECT r.number FROM recipients r WHERE {inside}))")  # noqa: S608
        values += [wanted.entity, *wanted.entity_domains]
    if wanted.older_than:
        parts.append("m.received < ?")
        values.append(now - wanted.older_than)
    if wanted.newer_than:
        parts.append("m.received >= ?")
        values.append(now - wanted.newer_than)
    return parts, values


def _of_recipient(wanted: Filter) -> tuple[list[str], list[object]]:
    """On `recipients r`: one recipient has it all."""
    parts: list[str] = []
    values: list[object] = []
    if wanted.state and wanted.state != "all":
        literal = wanted.state in LIVE  # as a literal, so that the index of that state is used
        parts.append(f"r.state = '{wanted.state}'" if literal else "r.state = ?")
        values += [] if literal else [wanted.state]
    for clause, value in (
        ("instr(lower(CAST(r.address AS TEXT)), ?) > 0", wanted.recipient.lower()),
        ("r.domain = ?", wanted.domain.lower()),
        ("EXISTS (SELECT 1 FROM json_each(r.held_by) WHERE value = ?)", wanted.rule),
    ):
        if value:
            parts.append(clause)
            values.append(value)
    if wanted.by_person:
        parts.append("r.held_by = '[]'")
    if wanted.hop:
        tried = "instr(lower(CAST(r.attempts AS TEXT)), ?) > 0"
        parts.append(f"({_in('r.domain', wanted.hop_domains)} OR {tried})")
        values += [*wanted.hop_domains, f'"{wanted.hop.lower()}']
    return parts, values


def _in(column: str, values: Sequence[str]) -> str:
    return f"{column} IN ({', '.join('?' * len(values))})"
