"""The filters of `hudhud mail queue` and `hudhud mail held`, as words of a command line."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Annotated

from cyclopts import Parameter

from hudhud.cli import Problem
from mail.cli.words import _
from mail.node.asked import age


@Parameter(name="*")
@dataclass(frozen=True)
class Which:
    """What is meant."""

    sender: Annotated[str, Parameter(help="Part of the envelope sender.")] = ""
    recipient: Annotated[str, Parameter(help="Part of a recipient's address.")] = ""
    domain: Annotated[str, Parameter(help="The recipient's domain, exactly.")] = ""
    account: Annotated[str, Parameter(help="Part of the account that sent it.")] = ""
    entity: Annotated[str, Parameter(help="Code of the body that sent it, or that it goes to.")] = ""
    rule: Annotated[str, Parameter(help="The rule that holds it.")] = ""
    hop: Annotated[str, Parameter(help="Beginning of the next hop's name or address.")] = ""
    older: Annotated[str, Parameter(help="Only what is older: 30m, 2h, 3d, 1d12h.")] = ""
    newer: Annotated[str, Parameter(help="Only what is newer: 30m, 2h, 3d, 1d12h.")] = ""

    def given(self) -> bool:
        """Whether anything is asked for."""
        return any(asdict(self).values())

    def asked(self, state: str = "") -> dict[str, object]:
        """As the relay is asked; Problem where an age is none."""
        words: dict[str, object] = {name: text for name, text in asdict(self).items() if name not in ("older", "newer")}
        return {**words, "state": state, "older_than": _age(self.older), "newer_than": _age(self.newer)}


def _age(text: str) -> float | None:
    try:
        return age(text) if text else None
    except ValueError:
        raise Problem(_("{text!r} is no age; write for example 30m, 2h, 3d or 1d12h", text=text)) from None
