"""`hudhud mail exempt list` and `show`: exemptions with their history, their use on this node, and their review."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Annotated, Final

from cyclopts import Parameter

from hudhud import config as configuration
from hudhud.cli import Exit, Problem, err, out, out_json, table
from hudhud.clock import SYSTEM
from hudhud.database import DatabaseError
from hudhud.event import format_time
from hudhud.settings import Settings
from mail.cli.words import _
from mail.grants import opening
from mail.grants.asking import NotAllowed, Request, Status
from mail.grants.desk import REVIEW_DAYS
from mail.grants.ledger import Ledger
from mail.grants.telling import KINDS, STATES, history, state, told
from mail.shelf import uses

CONFIG: Final = Path(configuration.DEFAULT)


def list_exemptions(
    *,
    status: Annotated[Status | None, Parameter(help="Only of this status.")] = None,
    entity: Annotated[str | None, Parameter(help="Only of this body.")] = None,
    used: Annotated[bool, Parameter(negative="", help="How often each was used on this node, and when last.")] = False,
    unreviewed: Annotated[bool, Parameter(negative="", help="Only break-glass that nobody reviewed yet.")] = False,
    json: bool = False,
    config: Path = CONFIG,
) -> int:
    """List exemptions in the order of their requests. Exit code 1 where there are none."""
    settings = configuration.load(config).settings
    with closing(_ledger(settings)) as ledger:
        found = ledger.list(status=status, entity=entity)
    found = [one for one in found if one.reviewable or not unreviewed]
    now, counts = SYSTEM.now(), _counts(settings) if used or json else {}
    if json:
        for one in found:
            count = counts.get(one.exemption.id, (0, now))
            out_json(told(one, now, used=count, review_by=_review_by(settings, one)))
    elif found:
        columns = [_("Id"), _("Kind"), _("State"), _("Sender"), _("Recipient"), _("Until"), _("Requested by")]
        columns += [_("Approved by"), *([_("Used"), _("Last used")] if used else [])]
        table("", columns, [_row(settings, one, now, counts if used else None) for one in found])
    else:
        err(_("There are none."))
    return Exit.DONE if found else Exit.NO


def show(id: str, *, json: bool = False, config: Path = CONFIG) -> int:
    """Show an exemption: everything that was asked for, who did what, every use on this node.

    Parameters
    ----------
    id
        The exemption's number, EX-2026-0001.
    json
        One JSON object.
    config
        The hudhud.toml of the relay.
    """
    settings = configuration.load(config).settings
    now = SYSTEM.now()
    try:
        with closing(_ledger(settings)) as ledger:
            one = ledger.get(id)
    except NotAllowed as error:
        raise Problem(_(error.text, **error.values), Exit.NO) from None
    log = _uses(settings, id)
    count = uses.counted(log).get(id, (0, now))
    facts = told(one, now, used=count, review_by=_review_by(settings, one))
    if json:
        shown = [
            {"at": format_time(u.moment), "queue_id": u.reference, "recipient": u.recipient, "size": u.size}
            for u in log
        ]
        out_json(facts | {"history": history(one), "use_log": shown})
        return Exit.DONE
    table("", (_("What"), _("Value")), _facts(settings, one, now))
    table("", (_("Time"), _("Who"), _("Act"), _("Reason")), [_moved(entry) for entry in one.history])
    if log:
        columns = (_("Time"), _("Queue id"), _("Recipient"), _("Octets"))
        table("", columns, [(f"{u.moment:%Y-%m-%d %H:%M}", u.reference, u.recipient, str(u.size)) for u in log])
    else:
        out(_("It was not used on this node."))
    return Exit.DONE


# inside


def _ledger(settings: Settings) -> Ledger:
    return Ledger(settings.path(*opening.LEDGER))


def _uses(settings: Settings, id: str = "") -> Sequence[uses.Use]:
    try:
        return uses.of_node(settings.path(settings.spool.folder), id)
    except DatabaseError as error:
        raise Problem(_("the use log cannot be read: {problem}", problem=str(error)), Exit.UNAVAILABLE) from None


def _counts(settings: Settings) -> Mapping[str, tuple[int, datetime]]:
    return uses.counted(_uses(settings))


def _review_by(settings: Settings, one: Request) -> datetime | None:
    if not one.reviewable or one.approved is None:
        return None
    return opening.ground(settings).registry().workdays.end_of(one.approved, REVIEW_DAYS)


def _row(
    settings: Settings, one: Request, now: datetime, counts: Mapping[str, tuple[int, datetime]] | None
) -> tuple[str, ...]:
    e = one.exemption
    row = [e.id, _(KINDS[e.kind]), _shown(settings, one, now), e.sender, e.recipient, f"{e.ends:%Y-%m-%d %H:%M}"]
    row += [e.applicant, ", ".join(e.approvers)]
    if counts is not None:
        count, last = counts.get(e.id, (0, now))
        row += [str(count), f"{last:%Y-%m-%d %H:%M}" if count else ""]
    return tuple(row)


def _shown(settings: Settings, one: Request, now: datetime) -> str:
    """Its state, and that somebody has to review it, or should have."""
    words = _(STATES[state(one, now)])
    until = _review_by(settings, one)
    if until is None:
        return words
    late = _("review overdue since {when}") if now > until else _("to be reviewed until {when}")
    return f"{words}; {late.format(when=f'{until:%Y-%m-%d}')}"


def _facts(settings: Settings, one: Request, now: datetime) -> list[tuple[str, str]]:
    e = one.exemption
    rows = [
        (_("Id"), e.id),
        (_("Kind"), _(KINDS[e.kind])),
        (_("State"), _shown(settings, one, now)),
        (_("Body"), one.entity),
        (_("Sender"), e.sender),
        (_("Recipient"), e.recipient),
        (_("From"), f"{e.starts:%Y-%m-%d %H:%M %Z}"),
        (_("Until"), f"{e.ends:%Y-%m-%d %H:%M %Z}"),
        (_("Largest message"), str(e.max_size) if e.max_size else _("as everywhere")),
        (_("Classification up to"), e.classification or _("what is not marked")),
        (_("Reason"), e.reason),
        (_("Document"), e.document),
        (_("Requested by"), e.applicant),
        (_("Approved by"), ", ".join(e.approvers)),
    ]
    if e.kind == "partner":
        rows += [(_("Owner"), e.owner), (_("Contact"), e.contact), (_("Review on"), str(e.review))]
    if one.reviewed is not None:
        right = _("it was right") if one.reviewed[2] == "review" else _("it was not right")
        rows.append((_("Reviewed by"), f"{one.reviewed[1]}: {right}"))
    return rows


def _moved(entry: tuple[datetime, str, str, str]) -> tuple[str, ...]:
    moment, actor, act, reason = entry
    return f"{moment:%Y-%m-%d %H:%M}", actor, act, reason
