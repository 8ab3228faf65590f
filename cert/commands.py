"""`hudhud cert`: incidents, alerts, events, dead letters; and the programs intake and desk. Loads what it runs."""

from __future__ import annotations

from pathlib import Path

from cyclopts import App

app = App(name="cert", help="Incidents, alerts, events, dead letters.")

app.command("cert.incident_command:incidents", name="incidents", help="The queue: list, show, status, assign, merge …")
app.command("cert.event_command:events", name="events", help="Search and count what was seen.")
app.command("cert.event_command:alerts", name="alerts", help="List what rules said that it matters.")
app.command("cert.deadletter_command:deadletters", name="deadletters", help="What could not become an event, and why.")
app.command("cert.deadletter_command:audit", name="audit", help="Verify the audit chains of this machine.")
app.command("cert.deadletter_command:status", name="status", help="How the store, the journal and the desk are.")


def intake(*, config: Path = Path("hudhud.toml")) -> int:
    """Run the intake: takes events of relays and sensors, journal first.

    Parameters
    ----------
    config
        The configuration.
    """
    from cert.programs import run_intake

    return run_intake(config)


def desk(*, config: Path = Path("hudhud.toml")) -> int:
    """Run the pipeline: event, match, alert, incident, notice.

    Parameters
    ----------
    config
        The configuration.
    """
    from cert.programs import run_desk

    return run_desk(config)
