"""The pipeline's texts for people, Arabic and English."""

from __future__ import annotations

from collections.abc import Iterable

from cert.incident import Entry, Incident, Reason, Status
from hudhud.i18n import Catalogue, Language

say = Catalogue("cert")


def _(text: str) -> str:
    """Marks a text that is translated where it is shown."""
    return text


STATUS = {
    Status.NEW: _("new"),
    Status.TRIAGED: _("triaged"),
    Status.CONTAINED: _("contained"),
    Status.RESOLVED: _("resolved"),
    Status.CLOSED: _("closed"),
    Status.MERGED: _("merged"),
}

KINDS = {
    "opened": _("opened"),
    "alerts": _("alerts: {before} before, {after} now"),
    "severity": _("severity: {before} before, {after} now"),
    "status": _("status: {before} before, {after} now"),
    "assigned": _("assigned to {after} (before: {before})"),
    "note": _("note"),
    "merged": _("merged into {after}"),
    "unmerged": _("parted again from {before}"),
    "absorbed": _("took in {after}"),
    "released": _("let go {before}"),
    "linked": _("linked with {after}"),
    "notified": _("told {after}"),
}


DETECTORS = {
    "HS-SMTP-EGRESS": _("Mail sent abroad around the relay"),
    "HS-MAIL-ABROAD": _("Server that uses foreign mail"),
    "HS-CLEAR-CREDENTIALS": _("Government password sent without encryption"),
    "HS-DNS-TUNNEL": _("Data carried out in DNS names"),
    "HS-PORT-SCAN": _("Search for open services"),
}
"""What a sensor's alert is called where no event rule names it."""


def detector(language: Language, rule: str, name: str) -> str:
    """The title of a detector's alert; `name` where the detector is not ours."""
    return say(language, DETECTORS[rule]) if rule in DETECTORS else name


QUEUE = (
    *(_("id"), _("Status"), _("Severity"), _("Title"), _("Bodies"), _("Alerts"), _("Owner")),
    _("Last event (UTC)"),
)
ALERTS = (_("Time"), _("Body"), _("Severity"), _("Title"), _("Rule"))
TIMELINE = (_("Time"), _("Who"), _("What"))

BECAME = {
    "unjudged": _("waits to be judged"),
    "refused": _("refused"),
    "deferred": _("deferred"),
    "held": _("held"),
    "accepted": _("accepted"),
    "tagged": _("tagged"),
    "released": _("released"),
    "delivered": _("delivered"),
    "deleted": _("deleted"),
    "bounced": _("bounced"),
}
"""What may become of a message, as `cert.reach` tells it."""


def columns(language: Language, headings: Iterable[str]) -> tuple[str, ...]:
    return tuple(say(language, heading) for heading in headings)


def became(language: Language, action: str) -> str:
    return say(language, BECAME.get(action, action))


def standing(language: Language, incident: Incident) -> str:
    """Status, version and owner on one line."""
    return say(
        language,
        "{status}, version {version}, owner {owner}",
        status=status(language, incident),
        version=incident.version,
        owner=incident.owner or "–",
    )


def summary(language: Language, incident: Incident) -> tuple[str, ...]:
    """The lines below an incident's title: how it stands, how grave it is and why, what it touches."""
    why = (", " if language == "en" else "، ").join(reason(language, one) for one in incident.reasons)
    return (
        standing(language, incident),
        say(language, "severity {severity} of 100: {why}", severity=incident.severity, why=why),
        say(
            language,
            "class {rsit}; bodies {bodies}; rules {rules}",
            rsit=incident.rsit,
            bodies=" ".join(incident.entities) or "–",
            rules=" ".join(incident.rules),
        ),
    )


def reason(language: Language, why: Reason) -> str:
    """A share of the severity as people read it."""
    return f"+{why.points} {say(language, why.text, **why.values)}"


def entry(language: Language, line: Entry) -> str:
    """A line of the timeline as people read it, without its time and actor."""
    before, after = line.before, line.after
    if line.kind == "status":
        before, after = (say(language, STATUS[Status(one)]) if one else "" for one in (before, after))
    told = say(language, KINDS[line.kind], before=before or "–", after=after or "–")
    return f"{told}: {line.text}" if line.text else told


def status(language: Language, incident: Incident) -> str:
    return say(language, STATUS[incident.status])
