"""What a client hears: the reason of a finding as an SMTP reply, and as a sentence and a remedy for people. Pure.

Replies are ASCII and English (RFC 6531 section 3.7.4.2); `sentence` and `remedy` go through the catalogue.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from hudhud.i18n import Catalogue, Language
from mail.verdict import Disposition, Finding, Reply, Verdict

MAX_NAMED: Final = 3  # recipients that a reply to the whole message names
MAX_TEXT = 480  # octets of reply text; RFC 5321 section 4.5.3.1.5 allows 512 with code and line end


say: Final = Catalogue("mail")


def _(text: str) -> str:
    """Marks a text for the catalogue."""
    return text


@dataclass(frozen=True, slots=True)
class Reason:
    """`code` and `enhanced` refuse for good, `sentence` says what and why, `remedy` what to do."""

    code: int
    enhanced: str
    sentence: str
    remedy: str


_LEAK = _("The header {header} sends answers or receipts to a foreign address.")
_LEAK_REMEDY = _("Remove that header or put a national address there, then send again.")

REASONS: Final[Mapping[str, Reason]] = {
    "not-your-address": Reason(
        550, "5.7.1", _("This account may not send from that address."),
        _("Send from an address of your account, or ask your body for a delegation."),
    ),
    "not-your-domain": Reason(
        550, "5.7.1", _("This server may send only from the domains that the registry lists for its body."),
        _("Send from an address of the body, or ask its officer to change what the registry says of the server."),
    ),
    "from-not-your-domain": Reason(
        550, "5.7.1", _("The From header names an address outside the domains of this server's body."),
        _("Set an address of the body in From; list servers are registered as such and set List-Id."),
    ),
    "null-sender": Reason(
        550, "5.7.1", _("Accounts may not send without a sender address."),
        _("Set your own address as the sender."),
    ),
    "no-account": Reason(
        530, "5.7.0", _("Log in before you send."),
        _("Set user name and password of your official account in the mail program."),
    ),
    "relay-denied": Reason(
        550, "5.7.1", _("Relaying denied: that is no mailbox of a national body here."),
        _("Check the address; this server takes mail for national bodies only."),
    ),
    "foreign-recipient": Reason(
        550, "5.7.1", _("Foreign recipient: official mail stays national."),
        _("Write to a national address. For official need ask your body's officer for an exemption."),
    ),
    "foreign-mail-hosts": Reason(
        550, "5.7.1", _("The recipient's domain is national, but its mail hosts stand abroad."),
        _("Write to another national address, or ask your body's officer for an exemption."),
    ),
    "no-such-domain": Reason(
        550, "5.1.2", _("The recipient's domain does not exist or takes no mail."),
        _("Check the address for a typing mistake."),
    ),
    "not-an-answer": Reason(
        550, "5.7.1", _("Foreign recipient: this is not an answer to a message that came from there."),
        _("Answer the message itself with your mail program's reply button, or ask for an exemption."),
    ),
    "exemption-too-small": Reason(
        550, "5.7.1", _("The message is larger than the exemption for that recipient allows."),
        _("Send less, or ask for an exemption that covers the size."),
    ),
    "exemption-level": Reason(
        550, "5.7.1", _("The message is marked {mark}: the exemption for that recipient does not cover that level."),
        _("Send it within the national mail, or ask for an exemption that covers its classification."),
    ),
    "exemption-used": Reason(
        550, "5.7.1", _("The exemption for that recipient was for one message, which was sent."),
        _("Ask for another exemption; for official need that comes back, for one that lasts."),
    ),
    "exemption-ended": Reason(
        550, "5.7.1", _("The exemption for that recipient has ended or was revoked."),
        _("Write to a national address. For official need ask your body's officer for an exemption."),
    ),
    "next-hop-size": Reason(
        552, "5.2.3", _("The recipient's mail server takes {limit} octets; the message has {size}."),
        _("Send less at once, or leave large files in your body's file store."),
    ),
    "next-hop-utf8": Reason(
        553, "5.6.7", _("The recipient's mail server does not take addresses outside ASCII (no SMTPUTF8)."),
        _("Use the ASCII address of sender and recipient."),
    ),
    "next-hop-utf8-header": Reason(
        554, "5.6.9", _("The recipient's mail server does not take a header outside ASCII (no SMTPUTF8)."),
        _("Use ASCII addresses in the header."),
    ),
    "next-hop-8bit": Reason(
        554, "5.6.3", _("The recipient's mail server does not take 8-bit content (no 8BITMIME)."),
        _("Set your mail program to send quoted-printable or base64."),
    ),
    "dns-failed": Reason(
        451, "4.4.3", _("Whether an address is national could not be found out: the DNS gave no answer."),
        _("Nothing needs to be done: the message is tried again."),
    ),
    "too-large": Reason(
        552, "5.3.4",
        _("The message has {size} octets ({size_mib} MiB), more than the {limit} ({limit_mib} MiB) taken."),
        _("Send less at once, or leave large files in your body's file store."),
    ),
    "from-not-yours": Reason(
        550, "5.7.1", _("The From header names an address that is not of this account."),
        _("Set your own address in From, or ask your body for a delegation."),
    ),
    "no-from": Reason(
        550, "5.6.0", _("The message has no From header that can be read."),
        _("Set your own address in From."),
    ),
    "several-from": Reason(
        550, "5.6.0", _("The message has more than one From."),
        _("Leave one From header with your own address."),
    ),
    "ambiguous-address": Reason(
        550, "5.6.0", _("The header {header} can be read as different addresses."),
        _("Write the address plainly: name <local@domain>."),
    ),
    "foreign-reply-to": Reason(550, "5.7.1", _LEAK, _LEAK_REMEDY),
    "foreign-sender": Reason(550, "5.7.1", _LEAK, _LEAK_REMEDY),
    "foreign-resent": Reason(550, "5.7.1", _LEAK, _LEAK_REMEDY),
    "foreign-receipt": Reason(550, "5.7.1", _LEAK, _LEAK_REMEDY),
    "unlisted-recipient": Reason(
        550, "5.7.1", _("To or Cc name addresses to which the message is not sent: {addresses}."),
        _("Send it to everybody whom To and Cc name, or take these addresses out."),
    ),
    "forwarded-abroad": Reason(
        550, "5.7.1", _("Automatic forwarding abroad: official mail stays national."),
        _("Switch the forwarding or the redirection of the mailbox off, and read the mail in the national mailbox."),
    ),
    "automatic-abroad": Reason(
        550, "5.7.1", _("An automatic message to a foreign address that does not answer one from there."),
        _("Let automatic replies answer the message itself, or limit them to national senders."),
    ),
    "passed-on-abroad": Reason(
        550, "5.7.1", _("A message that came in lately goes on unchanged to a foreign address."),
        _("Official mail is not passed on abroad. Write an answer of your own, or ask for an exemption."),
    ),
    "files-passed-on": Reason(
        550, "5.7.1", _("Files that came in lately go on to a foreign address."),
        _("Official files are not passed on abroad. Answer in the thread they belong to, or ask for an exemption."),
    ),
    "foreign-house": Reason(
        550, "5.7.1", _("The domain {domain} is a public body's, but its mail hosts stand abroad."),
        _("The body's mail moves to national hosts; until then ask its officer for another way."),
    ),
    "asks-abroad": Reason(
        550, "5.7.1", _("The text asks to be written to at a foreign address: {addresses}."),
        _("Name a national address for answers."),
    ),
    "quotes-abroad": Reason(
        550, "5.7.1", _("The message quotes foreign addresses: {addresses}."), _("Nothing needs to be done."),
    ),
    "system-class": Reason(
        550, "5.7.1", _("Mail of a system class ({class}) may go abroad by design."), _("Nothing needs to be done."),
    ),
    "not-of-its-class": Reason(
        550, "5.7.1", _("The sender address is a system one, but the message is no such report or notice."),
        _("Write as yourself from your own address, or ask for an exemption."),
    ),
    "from-abroad": Reason(
        550, "5.7.1", _("The message came from abroad."), _("Nothing needs to be done."),
    ),
    "national-from-abroad": Reason(
        550, "5.7.1", _("The message came from abroad and says that it comes from a public body."),
        _("Send it with your official account through the national mail."),
    ),
    "dmarc-fail": Reason(
        550, "5.7.26",
        _("The domain in From asks to refuse what it did not send, and this message is not proven to be its own."),
        _("Ask the sender to send it through the mail service of that domain."),
    ),
    "ambiguous-mime": Reason(
        550, "5.6.0", _("Mail programs would read different contents in this message."),
        _("Send it again with another mail program."),
    ),
    "encrypted-archive": Reason(
        550, "5.7.1", _("An attachment is encrypted and cannot be examined."),
        _("Send it unencrypted within the national mail, or tell your body's officer."),
    ),
    "content-limit": Reason(
        550, "5.7.1", _("The content is packed beyond what can be examined."),
        _("Send the files unpacked or in a smaller archive."),
    ),
    "routed-address": Reason(
        550, "5.1.3", _("The recipient's address hides another address."),
        _("Write to the address itself, without % or ! before the domain."),
    ),
    "foreign-errors-to": Reason(550, "5.7.1", _LEAK, _LEAK_REMEDY),
    "foreign-followup": Reason(550, "5.7.1", _LEAK, _LEAK_REMEDY),
    "damaged-archive": Reason(
        550, "5.6.0", _("An attachment is damaged and could not be unpacked."), _("Send the attachment again."),
    ),
    "our-fault": Reason(
        451, "4.3.0", _("A fault of the relay; the message is tried again."),
        _("Nothing needs to be done: the message is tried again."),
    ),
    "unjudgeable": Reason(
        550, "5.6.0", _("The message could not be examined."), _("Your body's officer looks at it."),
    ),
    "rule": Reason(
        554, "5.7.1", _("The content was found dangerous by a detection rule."),
        _("Remove the file or link that the rule names. If it is harmless, ask your body's officer."),
    ),
}  # fmt: skip
"""By the reason of a finding; a reason that is a threat class of a rule counts as "rule"."""


def reason_of(finding: Finding) -> Reason:
    """The texts of a finding; every finding has some."""
    return REASONS.get(finding.reason, REASONS["rule"])


def shown_facts(finding: Finding) -> dict[str, str]:
    """The facts that fill the {placeholders} of its sentence, as text."""
    known = {"header": "", "mark": "", "limit": "", "size": "", "limit_mib": "", "size_mib": ""}
    for name in ("limit", "size"):
        octets = finding.facts.get(name)
        if isinstance(octets, int):
            known[f"{name}_mib"] = f"{octets / 1024 / 1024:.1f}"
    known |= {"addresses": "", "domain": "", "class": ""}
    return known | {key: _shown(value) for key, value in finding.facts.items()}


def _shown(value: object) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value[:MAX_NAMED])) + (", ..." if len(value) > MAX_NAMED else "")
    return str(value)


def remedy_of(finding: Finding, language: Language) -> str:
    """What to do, in that language; the body's own words where its policy has some."""
    own = finding.facts.get(f"large_{language}")
    return own if isinstance(own, str) and own else say(language, reason_of(finding).remedy)


def reply_to(finding: Finding, *, help_url: str = "", reference: str = "") -> Reply:
    """The reply for a finding that rejects (5xx) or defers (4xx): rule, why, link, reference."""
    reason = reason_of(finding)
    code, enhanced = reason.code, reason.enhanced
    if finding.disposition is Disposition.DEFER and code >= 500:
        code, enhanced = 451, "4" + enhanced[1:]
    elif finding.disposition is Disposition.REJECT and code < 500:
        code, enhanced = 550, "5" + enhanced[1:]
    words = [finding.rule, reason.sentence.format(**shown_facts(finding))]
    if finding.reason == "too-large":  # many mail programs show no more than the reply
        words.append(remedy_of(finding, "en"))
    concerned = finding.facts.get("for")
    if isinstance(concerned, list):
        words.append(f"For {', '.join(map(str, concerned[:MAX_NAMED]))}.")
    return Reply(code, enhanced, _ascii(words, f"{help_url}/{finding.rule}" if help_url else "", reference))


def rcpt_reply(verdict: Verdict, *, help_url: str = "", reference: str = "") -> Reply:
    """What RCPT is answered with."""
    finding = verdict.decisive
    if finding is None or verdict.disposition < Disposition.DEFER:
        return Reply(250, "2.1.5", "Recipient OK")
    return reply_to(finding, help_url=help_url, reference=reference)


def data_reply(verdicts: Sequence[Verdict], *, help_url: str = "", reference: str = "") -> Reply:
    """What DATA is answered with (invariant 5): 451 when any is deferred, 5xx when all are rejected, else 250."""
    for wanted in (Disposition.DEFER, Disposition.REJECT):
        of_it = [v for v in verdicts if v.disposition is wanted]
        finding = of_it[0].decisive if of_it else None
        if finding is not None and (wanted is Disposition.DEFER or len(of_it) == len(verdicts)):
            return reply_to(finding, help_url=help_url, reference=reference)
    if not verdicts:
        return Reply(554, "5.5.1", "No valid recipients")
    refused = sum(v.disposition is Disposition.REJECT for v in verdicts)
    told = f"Accepted for {len(verdicts) - refused} of {len(verdicts)} recipients" if refused else "Accepted"
    return Reply(250, "2.0.0", _ascii([told], "", reference))


def _ascii(words: Sequence[str], link: str, reference: str) -> str:
    tail = " ".join(filter(None, (link, f"(ref {reference})" if reference else "")))
    text = " ".join(words)
    text = "".join(c if " " <= c <= "~" else "?" for c in text)
    room = MAX_TEXT - len(tail) - 1
    text = text if len(text) <= room else text[: room - 3] + "..."
    return f"{text} {tail}".strip()
