"""The words for fixed values: statuses, severities, roles, acts. `_` marks a text for the catalogue. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from console.person import ALL_ROLES, NATIONAL
from hudhud.people import Role


def _(text: str) -> str:
    """Marks a text that is translated where it is shown."""
    return text


# access key (a digit: every keyboard layout has them), path, label, who finds something there
NAVIGATION: tuple[tuple[str, str, str, frozenset[Role]], ...] = (
    ("1", "/", _("Today"), ALL_ROLES),
    ("2", "/incidents", _("Incidents"), ALL_ROLES),
    ("3", "/held", _("Held mail"), ALL_ROLES),
    ("4", "/exemptions", _("Exemptions"), ALL_ROLES),
    ("5", "/rules", _("Rules"), ALL_ROLES),
    ("6", "/services", _("Services"), NATIONAL),
)

ROLES: Mapping[str, str] = {
    "analyst": _("Analyst"),
    "officer": _("Officer"),
    "administrator": _("Administrator"),
    "auditor": _("Auditor"),
}

STATUSES: Mapping[str, str] = {
    "new": _("New"),
    "triaged": _("Triaged"),
    "contained": _("Contained"),
    "resolved": _("Resolved"),
    "closed": _("Closed"),
    "merged": _("Merged"),
}
QUEUES: Mapping[str, str] = {
    "open": _("Open"),
    "new": _("New"),
    "triaged": _("Triaged"),
    "contained": _("Contained"),
    "resolved": _("Resolved"),
    "closed": _("Closed"),
    "all": _("All"),
}
STATUS_CLASS: Mapping[str, str] = {"new": "high", "triaged": "medium", "contained": "", "resolved": "low", "closed": ""}

# the least severity (0 to 100) of each level; rules.rule.SEVERITY gives rules 10, 30, 50, 75 and 95
LEVEL_FROM: tuple[tuple[int, str], ...] = (
    (90, "critical"),
    (70, "high"),
    (40, "medium"),
    (20, "low"),
    (0, "informational"),
)
LEVELS: Mapping[str, str] = {
    "critical": _("Critical"),
    "high": _("High"),
    "medium": _("Medium"),
    "low": _("Low"),
    "informational": _("For information"),
}

DISPOSITIONS: Mapping[str, str] = {
    "accept": _("Accepted"),
    "accepted": _("Accepted"),
    "delivered": _("Delivered"),
    "tag": _("Tagged"),
    "tagged": _("Tagged"),
    "hold": _("Held"),
    "held": _("Held"),
    "defer": _("Deferred"),
    "deferred": _("Deferred"),
    "queued": _("On its way"),
    "unjudged": _("Waits to be judged"),
    "reject": _("Refused"),
    "refused": _("Refused"),
    "released": _("Released"),
    "deleted": _("Deleted"),
    "bounced": _("Returned"),
    "failed": _("Not deliverable"),
}
ACTIONS: Mapping[str, str] = {
    **DISPOSITIONS,
    "notice": _("Notices sent"),
    "exemption-used": _("Exemptions used"),
    "exemption-ending": _("Exemptions that end soon"),
    "exemption-ended": _("Exemptions ended"),
    "exemption-review-due": _("Partners to be reviewed"),
    "exemption-break-glass": _("Break-glass exemptions"),
    "exemption-unreviewed": _("Break-glass not reviewed in time"),
    "rule-stopped": _("Rules stopped"),
    "check-suspended": _("Checks suspended"),
    "check-resumed": _("Checks resumed"),
    "rejudged": _("Judged again"),
}
DISPOSITION_CLASS: Mapping[str, str] = {
    "hold": "high", "held": "high", "reject": "low", "refused": "low", "delivered": "bad", "accept": "bad",
    "accepted": "bad", "tag": "medium", "tagged": "medium", "released": "bad",
}  # fmt: skip

ENTRIES: Mapping[str, str] = {
    "opened": _("Opened"),
    "alerts": _("Alerts joined"),
    "severity": _("Severity changed"),
    "status": _("Status changed"),
    "assigned": _("Assigned"),
    "note": _("Note"),
    "merged": _("Merged into another incident"),
    "unmerged": _("Parted from another incident"),
    "absorbed": _("Took in another incident"),
    "released": _("Let another incident go"),
    "linked": _("Linked"),
    "notified": _("Notified"),
}

# the facts of an alert that are shown at once: ECS name, what people call it
TELLING: Mapping[str, str] = {
    "source.ip": _("Source"),
    "destination.ip": _("Destination"),
    "destination.port": _("Port"),
    "dns.question.name": _("Name asked"),
    "tls.client.server_name": _("Server name"),
    "url.domain": _("Domain"),
    "email.from.address": _("Sender"),
    "email.to.address": _("Recipient"),
    "email.attachments.file.name": _("Files"),
    "user.name": _("Account"),
}

MOVES: Mapping[str, str] = {
    "triaged": _("Take up (triaged)"),
    "contained": _("Contained"),
    "resolved": _("Resolved"),
    "closed": _("Close"),
}

EXEMPTION_STATUSES: Mapping[str, str] = {
    "requested": _("Requested"),
    "seconded": _("One approval of two"),
    "approved": _("Approved"),
    "refused": _("Declined"),
    "revoked": _("Revoked"),
    "over": _("Over"),
}
EXEMPTION_LISTS: Mapping[str, str] = {
    "current": _("Current"),
    "requested": _("Requested"),
    "seconded": _("One approval of two"),
    "approved": _("Approved"),
    "over": _("Over"),
    "refused": _("Declined"),
    "revoked": _("Revoked"),
    "unreviewed": _("To be reviewed"),
    "all": _("All"),
}
EXEMPTION_CLASS: Mapping[str, str] = {"requested": "medium", "seconded": "medium", "approved": "good"}
EXEMPTION_ACTS: Mapping[str, str] = {
    "request": _("asked for it"),
    "approve": _("approved"),
    "refuse": _("declined"),
    "revoke": _("revoked"),
    "review": _("reviewed it: it was right"),
    "object": _("reviewed it: it was not right"),
}
EXEMPTION_KINDS: Mapping[str, str] = {
    "ordinary": _("Ordinary: for a need of one's own body"),
    "partner": _("Partner: an embassy, a body of the United Nations"),
    "break-glass": _("Break-glass: one message now, one approver, reviewed afterwards"),
}

RELEASE_KINDS: Mapping[str, str] = {
    "registry": _("Registry"),
    "policy": _("Policy"),
    "exemptions": _("Exemptions"),
    "rules": _("Rules"),
}
RULE_KINDS: Mapping[str, str] = {"mail": _("Mail"), "event": _("Events"), "correlation": _("Correlation")}

LISTENERS: Mapping[str, str] = {
    "mx": _("from other mail servers"),
    "submission": _("from an account"),
    "submissions": _("from an account"),
    "own": _("from the relay itself"),
}
HEADERS: Mapping[str, str] = {"subject": _("Subject"), "from": _("From"), "to": _("To"), "date": _("Date")}
MAIL_ACTS: Mapping[str, str] = {
    "release": _("Released"),
    "released": _("Released"),
    "delete": _("Deleted"),
    "deleted": _("Deleted"),
    "hold": _("Held"),
    "held": _("Held"),
    "preview": _("Read"),
    "retry": _("Tried again"),
}

OBSERVERS: Mapping[str, str] = {"sensor": _("Sensor"), "relay": _("Relay")}

SERVICE_STATES: Mapping[str, str] = {
    "well": _("Working"),
    "ill": _("Needs attention"),
    "down": _("Not reachable"),
    "unknown": _("Not known"),
}
SERVICE_CLASS: Mapping[str, str] = {"well": "good", "ill": "warn", "down": "bad"}

# what a page says after an act; the query only carries the key
DONE: Mapping[str, str] = {
    "status": _("The status was changed."),
    "assigned": _("The incident was assigned."),
    "noted": _("The note was added."),
    "released": _("The message was released and goes on to its recipients."),
    "deleted": _("The message was deleted."),
    "requested": _("The exemption was requested; two other people must approve it."),
    "seconded": _("Your approval was recorded; one more person must approve."),
    "approved": _("The exemption is approved and in force on the relay within 30 seconds."),
    "refused": _("The request was declined."),
    "revoked": _("The exemption was revoked; the relay stops using it within 30 seconds."),
    "reviewed": _("Your review was recorded."),
    "glass": _("It was requested; whoever is on duty approves it."),
    "signed-out": _("You are signed out."),
    "session-ended": _("Sign in to go on."),
    "unstopped": _("The rule runs again."),
}


def level(severity: int) -> str:
    """The level of a severity from 0 to 100."""
    return next(name for least, name in LEVEL_FROM if severity >= least or least == 0)
