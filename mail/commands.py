"""`hudhud mail`: judge a message; queue, held mail, traces; accounts; exemptions; checks. Loads what it runs."""

from __future__ import annotations

from cyclopts import App

app = App(name="mail", help="Judge a message; queue, held mail, traces, accounts, exemptions.")

app.command("mail.cli.judge_command:judge", name="judge", help="Judge messages without sending them.")
app.command(
    "mail.cli.queue_command:queue",
    name="queue",
    help="What waits for delivery: list, show, hold, resume, retry, delete.",
)
app.command(
    "mail.cli.held_command:held", name="held", help="What is held for a person to look at: list, show, release."
)
app.command("mail.cli.queue_command:explain", name="explain", help="Why a message was treated as it was.")
app.command("mail.cli.trace_command:trace", name="trace", help="Find a message and its whole path; search orders.")
app.command("mail.cli.where_command:where", name="where", help="Where a message is, in plain words.")
app.command("mail.cli.status_command:status", name="status", help="What the relay of this machine says of itself.")
app.command("mail.cli.account_command:account", name="account", help="Mail accounts of this relay: add, list, passwd.")
app.command(
    "mail.cli.checks_command:checks", name="checks", help="Content checks: list, suspend (two people), approve, resume."
)
app.command(
    "mail.cli.delegate_command:delegate", name="delegate", help="Who may send as whom, until when: give, list, end."
)
app.command("mail.cli.exempt_command:exempt", name="exempt", help="Exemptions: request, approve, list, revoke.")
