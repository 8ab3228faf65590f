"""One mail transaction: what a client said since MAIL, who was taken and who was refused."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from mail.accounts import Account
from mail.envelope import Client, Envelope, Recipient
from mail.session.grammar import MailCommand
from mail.tell.notice import Refused
from mail.verdict import Verdict


@dataclass(slots=True)
class Transaction:
    """`reference` is the queue id of the message to be, and stands in every reply of the transaction."""

    client: Client
    account: Account | None
    mail: MailCommand
    reference: str
    received: datetime
    taken: dict[bytes, tuple[Recipient, Verdict]] = field(default_factory=dict)
    refused: dict[bytes, tuple[Recipient, Verdict]] = field(default_factory=dict)
    told: list[Refused] = field(default_factory=list)
    held: list[Refused] = field(default_factory=list)
    subject: str = ""

    @property
    def named(self) -> int:
        """Recipients that the client named, each once."""
        return len(self.taken) + len(self.refused)

    @property
    def verdicts(self) -> list[Verdict]:
        """Those of the recipients that were taken."""
        return [verdict for _, verdict in self.taken.values()]

    def envelope(self, *, body: str | None = None) -> Envelope:
        """The envelope as it stands: the recipients that were taken."""
        return self._envelope([recipient for recipient, _ in self.taken.values()], body)

    def refused_envelope(self) -> Envelope:
        """The envelope with the refused recipients instead, for telling of them."""
        return self._envelope([recipient for recipient, _ in self.refused.values()], None)

    def _envelope(self, recipients: list[Recipient], body: str | None) -> Envelope:
        mail = self.mail
        return Envelope(
            mail.sender, tuple(recipients), self.client, self.account, self.received, body or mail.body, mail.smtputf8,
            mail.ret, mail.envid, mail.requiretls,
        )  # fmt: skip
