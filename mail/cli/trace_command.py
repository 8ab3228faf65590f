"""`hudhud mail trace`: finds messages and shows their whole path; by subject only under an order of two people."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from hudhud.cli import Exit, Problem, err, out_json, table
from mail.cli import trace_text
from mail.cli.node import CONFIG, Flag, actor, folder, listed, run
from mail.cli.words import _
from mail.node.asking import ask_all

trace = App(name="trace", help="Find a message and its whole path; search orders for subjects.")
trace.command(
    "mail.cli.order_command:order_app", name="order", help="Search orders: request, approve, refuse, revoke, list."
)


@trace.default
def find(
    id: Annotated[str, Parameter(help="A queue id, or the reference of a refusal.")] = "",
    /,
    *,
    sender: Annotated[str, Parameter(help="amal@body.example, body.example, or amal@ in any domain.")] = "",
    recipient: Annotated[str, Parameter(help="The same of a recipient.")] = "",
    message_id: Annotated[str, Parameter(help="The Message-ID header.")] = "",
    since: Annotated[str, Parameter(help="Day or time, 2026-11-24 or 2026-11-24T14:30.")] = "",
    until: Annotated[str, Parameter(help="Day (whole) or time.")] = "",
    subject: Annotated[str, Parameter(help="Words of the subject; needs --order.")] = "",
    order: Annotated[str, Parameter(help="The search order that allows a subject.")] = "",
    login: Annotated[str, Parameter(help="With --order: who searches; the password is asked for.")] = "",
    limit: Annotated[int, Parameter(help="At most so many messages.")] = 20,
    json: Flag = False,
    config: Path = CONFIG,
) -> int:
    """Find messages, the newest first; one alone is shown with its whole path. Exit code 1 where there are none."""
    if subject and not order:
        raise Problem(_("subjects are searched only under a search order: `hudhud mail trace order request`"))
    if order and not login:
        raise Problem(_("say with --login who searches under the order"))
    who = _searcher(config, login) if order else actor()
    wanted = {
        **{"id": id, "sender": sender, "recipient": recipient, "message_id": message_id},
        **{"since": since, "until": until, "subject": subject, "order": order, "actor": who},
    }
    found = (
        listed(config, "trace", wanted, limit) if not id else run(ask_all(folder(config), {"act": "trace", **wanted}))
    )
    found = [one for part in found for one in part] if id else list(found)
    if json:
        for one in found:
            out_json(one)
    elif len(found) == 1:
        trace_text.show(found[0])
    elif found:
        columns = (_("Id"), _("Received"), _("State"), _("Sender"), _("Recipients"), _("Held by / last reply"))
        table("", columns, [trace_text.row(one) for one in found])
    else:
        err(_("There are none."))
    return Exit.DONE if found else Exit.NO


def _searcher(config: Path, login: str) -> str:
    """Who searches under an order: somebody of the house with a password."""
    from hudhud import config as configuration
    from mail.cli.order_command import logged_in

    return logged_in(configuration.load(config).settings, login).login
