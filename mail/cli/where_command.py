"""`hudhud mail where`: where a message is, in plain words for its sender or the help desk."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

from cyclopts import Parameter

from hudhud.cli import Exit, Problem, err, out, out_json
from hudhud.i18n import LANGUAGES, Language
from mail.cli.node import CONFIG, Flag, actor, by_time, folder, run
from mail.cli.words import _, language
from mail.node.asking import ask_all
from mail.tell import where as words

LIMIT: Final = 5  # newest messages that are told of


def where(
    id: Annotated[str, Parameter(help="The queue id or reference, where it is known.")] = "",
    /,
    *,
    sender: Annotated[str, Parameter(help="Who sent it.")] = "",
    recipient: Annotated[str, Parameter(help="To whom.")] = "",
    since: Annotated[str, Parameter(help="Day or time from which on.")] = "",
    lang: Annotated[Language | None, Parameter(help="ar or en; else the terminal's.")] = None,
    limit: Annotated[int, Parameter(help="At most so many messages, the newest.")] = LIMIT,
    json: Flag = False,
    config: Path = CONFIG,
) -> int:
    """Say where a message is. Exit code 1 where nothing is known of it."""
    if not id and not (sender and recipient):
        raise Problem(_("give the reference, or --sender and --recipient"))
    asked = {"act": "trace", "actor": actor(), "id": id, "sender": sender, "recipient": recipient, "since": since}
    answers = run(ask_all(folder(config), {**asked, "limit": limit}))
    found = sorted((one for answer in answers for one in answer), key=by_time, reverse=True)[:limit]
    for one in found:
        if json:
            lines: dict[str, object] = {name: words.told(one, name) for name in LANGUAGES}
            out_json({"id": one["id"], "state": one["state"]} | lines)
            continue
        first, *more = words.told(one, lang or language())
        out(first)
        for line in more:
            out(f"  {line}")
    if not found:
        err(_("Nothing is known of it: it did not come to this relay, or longer ago than paths are kept."))
    return Exit.DONE if found else Exit.NO
