"""`hudhud cert incidents`: the queue, one incident, and the acts of people on it."""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import App, Parameter

from cert import records, words
from cert.incident import Incident, Status
from cert.office import DEFAULT, Actor, Config, Json, Limit, Office, actor_or_user, at_work, known_person
from cert.reach import reach
from cert.store import AlertQuery, IncidentQuery
from hudhud import cli
from hudhud.cli import Exit
from hudhud.i18n import Language

incidents = App(name="incidents", help="The queue: list, show, status, assign, note, merge, part.")

Id = Annotated[str, Parameter(help="The incident.")]
Seen = Annotated[
    int | None, Parameter(name="--version", help="The version you saw; refused where somebody changed it since.")
]
Tongue = Annotated[Language, Parameter(name="--language", help="Of titles and texts.")]
SHOWN = 1_000  # alerts that `show` lists


@incidents.command(name="list")
def list_(
    *,
    status: Annotated[list[Status] | None, Parameter(help="Only these; all but merged ones by default.")] = None,
    entity: Annotated[str | None, Parameter(help="Only those of this body.")] = None,
    owner: Annotated[str | None, Parameter(help="Only those of this person.")] = None,
    text: Annotated[str, Parameter(help="Words in title, keys or rules.")] = "",
    order: Literal["newest", "severity"] = "newest",
    limit: Limit = 50,
    language: Tongue = "en",
    config: Config = DEFAULT,
    json: Json = False,
) -> int:
    """List incidents. Exit 1 where there are none."""
    query = IncidentQuery(tuple(status or ()), entity, owner, text=text, order=order, limit=limit)
    found = at_work(config, lambda office: office.store.incidents(query)).found
    if json:
        for one in found:
            cli.out_json(records.document(one))
    else:
        rows = [
            (
                one.id, words.status(language, one), one.severity, one.title(language), " ".join(one.entities),
                one.alerts, one.owner or "–", f"{one.last:%Y-%m-%d %H:%M}",
            )
            for one in found
        ]  # fmt: skip
        cli.table("", words.columns(language, words.QUEUE), rows)
    return Exit.DONE if found else Exit.NO


@incidents.command
def show(id: Id, /, *, language: Tongue = "en", config: Config = DEFAULT, json: Json = False) -> int:
    """Show one incident: why, its alerts, who already has it, its timeline; of a merged id, what it is part of now."""
    found = at_work(config, lambda office: _whole(office, id))
    if found is None:
        cli.err(f"hudhud: there is no incident {id}")
        return Exit.NO
    incident, document = found
    if json:
        cli.out_json(document)
    else:
        _print(incident, document, language)
    return Exit.DONE


async def _whole(office: Office, id: str) -> tuple[Incident, dict[str, object]] | None:
    store = office.store
    incident = await store.current(id)
    if incident is None:
        return None
    alerts = await store.alerts(AlertQuery(incidents=incident.ids, limit=SHOWN))
    entries = [entry for one in incident.ids for entry in await store.timeline(one)]
    entries.sort(key=lambda one: (one.at, one.id))
    document = {
        **records.document(incident),
        "alerts": [records.document(one) for one in alerts.found],
        "alert_count": incident.alerts,
        "recipients": await reach(store, incident),
        "timeline": [records.document(one) for one in entries],
        "timeline_text": {
            language: [words.entry(language, one) for one in entries] for language in ("ar", "en")
        },
    }  # fmt: skip
    return incident, document


def _print(incident: Incident, document: dict[str, object], language: Language) -> None:
    cli.out(f"{incident.id}  {cli.visible(incident.title(language))}")
    for line in words.summary(language, incident):
        cli.out(f"  {line}")
    alerts, recipients, timeline = document["alerts"], document["recipients"], document["timeline"]
    assert isinstance(alerts, list)
    assert isinstance(recipients, dict)
    assert isinstance(timeline, list)
    rows = [(one["timestamp"], one["entity"], one["severity"], one[f"title_{language}"], one["rule"]) for one in alerts]
    heading = words.say(language, "{alerts} alerts", alerts=incident.alerts)
    cli.table(heading, words.columns(language, words.ALERTS), rows)
    for became, addresses in recipients.items():
        cli.out(f"  {words.became(language, became)}: {', '.join(map(cli.visible, addresses))}")
    texts = document["timeline_text"]
    assert isinstance(texts, dict)
    told = zip(timeline, texts[language], strict=True)
    lines = [(one["at"], one["actor"], text) for one, text in told]
    cli.table(words.say(language, "Timeline"), words.columns(language, words.TIMELINE), lines)


def _changed(incident: Incident, json: bool) -> int:
    if json:
        cli.out_json(records.document(incident))
    else:
        cli.out(f"{incident.id}: {incident.status}, version {incident.version}, owner {incident.owner or '–'}")
    return Exit.DONE


async def _version(office: Office, id: str, seen: int | None) -> int:
    """The version that was seen, or the one that stands."""
    if seen is not None:
        return seen
    found = await office.store.incident(id)
    return found.version if found else 0


@incidents.command
def status(
    id: Id, to: Status, /, *, reason: str = "", version: Seen = None, actor: Actor = "", config: Config = DEFAULT,
    json: Json = False,
) -> int:  # fmt: skip
    """Move an incident to another status; resolving and closing need a reason."""

    async def work(office: Office) -> Incident:
        expected = await _version(office, id, version)
        return await office.desk().change_status(actor_or_user(actor), id, expected, to, reason)

    return _changed(at_work(config, work), json)


@incidents.command
def assign(
    id: Id, owner: str, /, *, version: Seen = None, actor: Actor = "", config: Config = DEFAULT, json: Json = False
) -> int:
    """Give an incident to a person ("" = to nobody)."""

    async def work(office: Office) -> Incident:
        person = known_person(office.settings, owner)
        return await office.desk().assign(actor_or_user(actor), id, await _version(office, id, version), person)

    return _changed(at_work(config, work), json)


@incidents.command
def note(
    id: Id, text: str, /, *, version: Seen = None, actor: Actor = "", config: Config = DEFAULT, json: Json = False
) -> int:
    """Write a note into an incident's timeline."""

    async def work(office: Office) -> Incident:
        return await office.desk().note(actor_or_user(actor), id, await _version(office, id, version), text)

    return _changed(at_work(config, work), json)


@incidents.command
def merge(
    winner: Id, loser: Id, /, *, reason: str, actor: Actor = "", config: Config = DEFAULT, json: Json = False
) -> int:
    """Make one incident part of another; its id leads there from then on."""

    async def work(office: Office) -> Incident:
        one, other = await _version(office, winner, None), await _version(office, loser, None)
        return await office.desk().merge(actor_or_user(actor), (winner, one), (loser, other), reason)

    return _changed(at_work(config, work), json)


@incidents.command
def part(
    winner: Id, loser: Id, /, *, reason: str, actor: Actor = "", config: Config = DEFAULT, json: Json = False
) -> int:
    """Undo a merge: both stand again, and the pipeline leaves them apart."""

    async def work(office: Office) -> Incident:
        seen = (winner, await _version(office, winner, None))
        return await office.desk().undo_merge(actor_or_user(actor), seen, loser, reason)

    return _changed(at_work(config, work), json)
