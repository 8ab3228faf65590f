"""The `hudhud` command: composes the programs' commands and loads each only when it is called."""

from __future__ import annotations

import difflib
import os
import sys

from cyclopts import App, CycloptsError

from hudhud.cli import Exit, Problem, err
from hudhud.toml import PlaceError

app = App(
    name="hudhud",
    help="A national mail relay, its sensors, and the incident pipeline behind both. Begin with: hudhud up",
    version_flags=["--version"],
    help_format="plaintext",  # markdown would cost half of the time of `--help`
    result_action="return_value",
)

# name, where it is defined, what it does: one line each, so that help needs no import.
COMMANDS: tuple[tuple[str, str, str], ...] = (
    ("up", "deploy.onebox:up", "Start everything on this machine, on loopback, with a demo country."),
    ("tour", "deploy.tour:tour", "Drive a real morning through a running `hudhud up` and print what came of it."),
    ("doctor", "deploy.doctor:doctor", "Say what is missing on this machine and how to mend it."),
    ("relay", "mail.supervisor:relay", "Run the mail relay: supervisor and workers."),
    ("intake", "cert.commands:intake", "Run the intake: takes events of relays and sensors, journal first."),
    ("desk", "cert.commands:desk", "Run the pipeline: event, match, alert, incident, notice."),
    ("console", "console.commands:console", "Run the web application for staff, analysts and administrators."),
    ("sensor", "sensors.commands:app", "Read captures, watch an interface, run a sensor."),
    ("mail", "mail.commands:app", "Judge a message; queue, held mail, explanations, accounts, exemptions."),
    ("rules", "rules.commands:app", "Check, test, publish and roll back detection rules."),
    ("cert", "cert.commands:app", "Incidents, alerts, events, dead letters."),
    ("registry", "deploy.registry_commands:app", "The public bodies: show, who, copy, publish, import, onboard."),
    ("config", "deploy.config_commands:app", "Check hudhud.toml; show every setting and where it came from."),
    ("audit", "deploy.config_commands:audit", "Verify the audit chains: one changed byte is found."),
    ("bench", "deploy.bench:bench", "Measure relay, sensor or pipeline; the last line is JSON."),
    ("soak", "deploy.soak:soak", "The long runs: kills at random points under load."),
)

for _order, (_name, _place, _help) in enumerate(COMMANDS):
    app.command(_place, name=_name, help=_help, sort_key=_order)


def run() -> None:
    """Entry point: one clear line and an exit code for whatever goes wrong."""
    sys.exit(_run(sys.argv[1:]))


def _run(words: list[str]) -> int:
    names = [name for name, _, _ in COMMANDS]
    if words and not words[0].startswith("-") and words[0] not in names:
        near = difflib.get_close_matches(words[0], names, 1)
        hint = f"did you mean `hudhud {near[0]}`?" if near else "`hudhud --help` lists the commands"
        err(f"hudhud: there is no command {words[0]!r}; {hint}")
        return Exit.USAGE
    try:
        result = app(words, exit_on_error=False, print_error=True)
    except CycloptsError:
        return Exit.USAGE
    except Problem as problem:
        err(f"hudhud: {problem}")
        return problem.exit
    except PlaceError as error:
        err(f"hudhud: {error}")
        return Exit.USAGE
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except BrokenPipeError:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123 - the reader went away; nothing may be written at exit
        return Exit.DONE
    except OSError as error:
        if error.filename is None:
            raise
        err(f"hudhud: {os.fsdecode(error.filename)}: {error.strerror}")
        return Exit.USAGE
    return result if isinstance(result, int) else Exit.DONE


if __name__ == "__main__":
    run()
