"""`hudhud cert events` and `hudhud cert alerts`: search and count what was seen. Every search is in the audit chain."""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import App, Parameter

from cert import records
from cert.office import DEFAULT, Actor, Config, Json, Limit, Office, actor_or_user, at_work, moment, nested
from cert.store import Alert, AlertQuery, Bucket, Page, Query
from hudhud import cli
from hudhud.cli import Exit
from hudhud.event import Event, format_time
from hudhud.i18n import Language

events = App(name="events", help="Search and count events, in Lucene syntax.")
alerts = App(name="alerts", help="What rules said that it matters.")

Text = Annotated[str, Parameter(help='Such as event.dataset:hudhud.mail AND email.to.address:"a@b.example"')]
Start = Annotated[str, Parameter(help="From this time on: 2026-11-23, 2026-11-23T10:00:00Z, now-1h.")]
End = Annotated[str, Parameter(help="Before this time.")]
Entity = Annotated[str | None, Parameter(help="Only events of this body.")]
COLUMNS = ("event.dataset", "event.action", "organization.id", "rule.id")
PAGE = 500
NO_HEALTH = "NOT event.dataset:hudhud.health"  # a heartbeat every half a minute would crowd out all else


@events.command
def search(
    query: Text = "",
    /,
    *,
    start: Start = "",
    end: End = "",
    entity: Entity = None,
    limit: Limit = 50,
    health: Annotated[bool, Parameter(negative="", help="Heartbeats of sensors too.")] = False,
    reason: Annotated[str, Parameter(help="Why; it is recorded.")] = "",
    actor: Actor = "",
    config: Config = DEFAULT,
    json: Json = False,
) -> int:
    """Events that fit, newest first. Exit 1 where there are none."""

    query = asked(query, health=health)

    async def work(office: Office) -> list[Event]:
        desk, found, after = office.desk(), list[Event](), ""
        while len(found) < limit:
            question = Query(query, moment(start), moment(end), entity, min(PAGE, limit - len(found)), after)
            page: Page[Event] = (
                await office.store.search(question)
                if after
                else await desk.search(actor_or_user(actor), question, reason)
            )
            found += page.found
            after = page.after
            if not after:
                break
        return found

    found = at_work(config, work)
    if json:
        for one in found:
            cli.out_json(nested(one))
    else:
        rows = [(format_time(one.timestamp), *(_shown(one, name) for name in COLUMNS), _who(one)) for one in found]
        cli.table("", ("time", "dataset", "action", "body", "rules", "from → to"), rows)
    return Exit.DONE if found else Exit.NO


def asked(query: str, *, health: bool) -> str:
    """The query without heartbeats, unless they are asked for: by the option, or by name. Pure."""
    if health or "hudhud.health" in query:
        return query
    return f"({query}) AND {NO_HEALTH}" if query.strip() else NO_HEALTH


@events.command
def count(
    field: Annotated[str, Parameter(help="Such as organization.id, or hour and day for a histogram.")],
    query: Text = "",
    /,
    *,
    start: Start = "",
    end: End = "",
    entity: Entity = None,
    limit: Limit = 20,
    config: Config = DEFAULT,
    json: Json = False,
) -> int:
    """How many events have each value of a field."""
    steps: dict[str, Literal["minute", "hour", "day"]] = {"minute": "minute", "hour": "hour", "day": "day"}

    async def work(office: Office) -> tuple[Bucket, ...]:
        question = Query(query, moment(start), moment(end), entity)
        if field in steps:
            return await office.store.histogram(question, steps[field])
        return await office.store.counts(question, field, limit)

    found = at_work(config, work)
    if json:
        for one in found:
            cli.out_json({"key": one.key, "count": one.count})
    else:
        cli.table("", (field, "events"), [(one.key, one.count) for one in found])
    return Exit.DONE if found else Exit.NO


@alerts.command(name="list")
def list_(
    *,
    entity: Entity = None,
    rule: str | None = None,
    key: Annotated[str | None, Parameter(help='Such as "lure:…" or "file:…".')] = None,
    incident: Annotated[str | None, Parameter(help="Those of this incident.")] = None,
    start: Start = "",
    end: End = "",
    limit: Limit = 50,
    language: Language = "en",
    config: Config = DEFAULT,
    json: Json = False,
) -> int:
    """List alerts, newest first. Exit 1 where there are none."""

    async def work(office: Office) -> tuple[Alert, ...]:
        found = await office.store.current(incident) if incident is not None else None
        ids = found.ids if found else (incident,) if incident is not None else ()
        return (await office.store.alerts(AlertQuery(ids, entity, rule, key, moment(start), moment(end), limit))).found

    found = at_work(config, work)
    if json:
        for one in found:
            cli.out_json(records.document(one))
    else:
        rows = [(format_time(a.timestamp), a.entity, a.severity, a.title(language), a.rule, a.incident) for a in found]
        cli.table("", ("time", "body", "severity", "title", "rule", "incident"), rows)
    return Exit.DONE if found else Exit.NO


def _shown(event: Event, name: str) -> str:
    value = event.fields.get(name)
    return "" if value is None else " ".join(map(str, value)) if isinstance(value, list) else str(value)


def _who(event: Event) -> str:
    ends = [
        next((text for name in names if (text := _shown(event, name))), "")
        for names in (("email.from.address", "source.ip"), ("email.to.address", "destination.ip", "dns.question.name"))
    ]
    return " → ".join(ends) if any(ends) else ""
