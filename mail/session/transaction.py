"""One mail transaction: what a client said since MAIL, who was taken and who was refused."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from mail.accounts import Account
from mail.envelope import Client, Envelope, Recipient
from mail.session.grammar import MailCommand
from mail.tell.notice import Refused
from mail.verdict import Disposition, Finding, Reply, Verdict

_REJECT = Disposition.REJECT


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
    told: list[Refused] = field(default_factory=list)  # what the sender is still to be told when it is over
    promised: bool = False  # a forbidden recipient was taken at RCPT: a notice tells of it
    noticed: bool = False  # a notice of it lies in the spool already
    judged: bool = False  # DATA came: what became of those who were taken is told of with the message
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

    def refuse_all(self, finding: Finding, reply: Reply) -> None:
        """None of those who were taken gets the message."""
        verdicts = {raw: Verdict(raw, _REJECT, (finding,), reply) for raw in self.taken}
        self.refused |= {raw: (recipient, verdicts[raw]) for raw, (recipient, _) in self.taken.items()}
        self.taken.clear()

    def forbidden(self) -> dict[bytes, tuple[Recipient, Verdict]]:
        """Recipients that RCPT refused, and where DATA never came those that it took to tell of them later."""
        spared = {} if self.judged else {raw: one for raw, one in self.taken.items() if one[1].disposition is _REJECT}
        return {**self.refused, **spared}

    def refused_envelope(self) -> Envelope:
        """The envelope with the forbidden recipients instead, for telling of them."""
        return self._envelope([recipient for recipient, _ in self.forbidden().values()], None)

    def _envelope(self, recipients: list[Recipient], body: str | None) -> Envelope:
        mail = self.mail
        return Envelope(
            mail.sender, tuple(recipients), self.client, self.account, self.received, body or mail.body, mail.smtputf8,
            mail.ret, mail.envid, mail.requiretls, mail.size,
        )  # fmt: skip
