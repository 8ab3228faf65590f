"""What each rule of the national policy means to whoever it stopped: what happened, why, what to do. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from console.words import _


@dataclass(frozen=True, slots=True)
class Explanation:
    """Texts of the catalogue, for people who have never heard of the relay."""

    title: str
    what: str
    why: str
    todo: str


_LEAK = Explanation(
    _("A header would send answers or receipts abroad"),
    _(
        "Your message has a header such as Reply-To, Sender, Disposition-Notification-To or Errors-To "
        "with an address of a foreign mail service. Answers, receipts or copies of official mail would go"
        " there."
    ),
    _("Official correspondence stays within the national mail, and that includes the answers to it."),
    _(
        "Open the settings of your mail program, find the answer or receipt address, and take it out or "
        "put your official address there. Then send again."
    ),
)  # fmt: skip

_CONTENT = Explanation(
    _("An attachment could not be examined"),
    _(
        "The message has a part that is encrypted, damaged, or packed so deep that it could not be looked"
        " into. It was refused, or is held until a person decides."
    ),
    _("Dangerous files travel in archives that scanners cannot open. What cannot be examined is not passed on unseen."),
    _(
        "Send the file unpacked and without a password; within the national mail the way is encrypted "
        "already. If the file must stay as it is, tell your body's officer and give the reference."
    ),
)  # fmt: skip

_AUTHOR = Explanation(
    _("The From header is not your own address"),
    _("The From that readers see is missing, there more than once, or names an address that is not of your account."),
    _(
        "Readers trust the From they see. An account writes only under its own addresses, so that nobody "
        "can pose as a colleague."
    ),
    _(
        "Set your own official address as the only From in your mail program. If you write for somebody "
        "else, ask your body for a delegation of that address."
    ),
)  # fmt: skip

_FORWARDED = Explanation(
    _("Official mail was about to be passed on abroad"),
    _(
        "The message has the marks of automatic forwarding, or it came in a short while ago and was "
        "about to go on unchanged, or with nothing but its files, to a foreign address."
    ),
    _(
        "A mailbox that forwards by itself carries everything abroad, and nobody decides about a single "
        "message."
    ),
    _(
        "Switch the forwarding off and read your mail in the national mailbox. If you meant to write "
        "yourself, use the reply button on the message that came from there, or ask your body's officer "
        "for an exemption."
    ),
)  # fmt: skip

_TELLS = Explanation(
    _("The text names a foreign address"),
    _(
        "The text, the signature, a link, an invitation or something quoted in the message names an "
        "address of a foreign mail service."
    ),
    _(
        "Readers may write official mail to that address. It is only marked or counted, never refused: "
        "quoting a citizen or reporting a fraud must work."
    ),
    _("Name a national address for answers. Where you quoted somebody, nothing needs to be done."),
)  # fmt: skip

EXPLANATIONS: Mapping[str, Explanation] = {
    "H-NAT-01": Explanation(
        _("This server takes mail for public bodies only"),
        _("The recipient is not a mailbox of a public body behind this relay, so the message was refused."),
        _("A mail server that passes on mail for anybody is abused for spam within hours."),
        _(
            "Check the recipient's address for a typing mistake. For an address elsewhere, use that "
            "provider's own server."
        ),
    ),
    "H-NAT-02": Explanation(
        _("A foreign recipient: official mail stays national"),
        _(
            "You wrote from an official account to an address of a foreign mail service. For this "
            "recipient the message was refused; recipients at public bodies have received it."
        ),
        _(
            "By the national policy, official correspondence is carried by the national mail only. "
            "Foreign services keep copies under foreign law, and nobody here can protect them."
        ),
        _(
            "Write to a national address of the same person. If your duties need this foreign recipient, "
            "ask your body's officer for an exemption: two people approve it, and it ends on a set day. "
            "Answering a citizen who wrote to you first is allowed where your body's policy says so: use "
            "the reply button on her message."
        ),
    ),
    "H-NAT-03": Explanation(
        _("You may only answer there, and this is not an answer"),
        _(
            "Your body lets you answer people abroad who wrote first. This message to a foreign address "
            "does not belong to a message that came from it within the allowed time."
        ),
        _("Citizens abroad must get their answers; starting a correspondence over foreign services is another matter."),
        _(
            "Open the message you received and use the reply button, so that the answer carries its "
            "reference. If the correspondence is older than allowed, or you must write first, ask your "
            "body's officer for an exemption."
        ),
    ),
    "H-NAT-04": Explanation(
    _("A public body's mail hosts stand abroad"),
    _("The domain is that of a public body, but the hosts that take its mail stand in another country."),
    _("A national name protects nothing when the letters lie in a foreign house."),
    _("You need not do anything. The body moves its mail to national hosts; its officer is told."),
),
    "H-TO-01": Explanation(
    _("To or Cc name somebody who does not get the message"),
    _("The header names addresses to which the message was not sent."),
    _("Whoever answers to all would write to these addresses as well, perhaps abroad."),
    _("Send to everybody whom you name, or take the addresses out of To and Cc."),
),
    "H-SYS-01": Explanation(
    _("A system address was used for other mail"),
    _(
        "Reports of mail servers, postmasters and the response centre may write abroad. This message was"
        " sent from such an address, but is none of that kind."
    ),
    _("An exemption that is made for machines and postmasters must not become a way around the policy."),
    _(
        "Write from your own address. If your duties need the foreign recipient, ask your body's officer"
        " for an exemption."
    ),
),
    **{f"H-FWD-0{number}": _FORWARDED for number in range(1, 4)},
    **{f"H-TELL-0{number}": _TELLS for number in range(1, 3)},
    "H-AUTH-01": Explanation(
        _("The message is not proven to be from the domain in From"),
        _(
            "The domain in From asks that what it did not send itself be refused or set apart, and no "
            "proof of it holds."
        ),
        _("Anybody can write any address into From; the domain's own proof is what readers can rely on."),
        _(
            "Ask the sender to send it through the mail service of that domain. Lists and forwarders may "
            "break the proof."
        ),
    ),
    "H-ID-01": Explanation(
        _("Not an address of your account"),
        _(
            "The sender address of the message belongs to nobody, or to an account other than the one you"
            " logged in with."
        ),
        _("Whoever receives official mail must be able to rely on who sent it."),
        _(
            "Send from an address of your own account. If you write for a shared mailbox, ask your body "
            "for a delegation."
        ),
    ),
    "H-ID-02": _AUTHOR,
    "H-ID-03": _AUTHOR,
    "H-ADDR-01": Explanation(
        _("An address that can be read in two ways"),
        _("A header holds an address that different mail programs would read as different addresses."),
        _("Such addresses are used to show one recipient or sender and use another."),
        _("Write the address plainly, as name <person@body>, without comments or unusual characters, and send again."),
    ),
    "H-ADDR-02": Explanation(
        _("An address that hides another one"),
        _(
            "The part before the @ holds a second address, with % or ! or hidden characters, and some "
            "servers would pass the message on to it."
        ),
        _("It would be a way around the rule that official mail stays national."),
        _("Write to the person's own address."),
    ),
    **{f"H-LEAK-0{number}": _LEAK for number in range(1, 8)},
    "H-SIZE-01": Explanation(
        _("The message is too large"),
        _("The message with its attachments is larger than your body or the recipient's body takes."),
        _("Very large messages block mailboxes and lines that others need."),
        _(
            "Send fewer attachments at once, or leave the file in your body's file store and send its "
            "place. Attachments grow by a third when they are sent."
        ),
    ),
    "H-HOP-01": Explanation(
        _("The recipient's mail server cannot take the message"),
        _("Its size, its addresses outside ASCII or its 8-bit content are more than that server said it takes."),
        _("It is refused at once, while you can still change it, instead of coming back later."),
        _("Do what the refusal says: send less, use the ASCII addresses, or tell the recipient's body."),
    ),
    "H-MIME-01": Explanation(
        _("Programs would read different contents"),
        _("The message is built so that mail programs and scanners would see different contents in it."),
        _("Attackers build such messages to carry a file past the examination."),
        _(
            "Write the message anew, with another mail program if you can. Mail programs that are kept up"
            " to date do not send such messages."
        ),
    ),
    "H-CONTENT-01": Explanation(
        _("The message could not be judged"),
        _("Examining this message failed several times. It is held, not lost."),
        _("No message passes that was not examined; a fault of ours must not become a hole."),
        _(
            "You need not send it again. The staff see it in their list and decide; give them the "
            "reference if it is urgent."
        ),
    ),
    "H-CONTENT-02": _CONTENT,
    "H-CONTENT-03": _CONTENT,
    "H-IN-01": Explanation(
        _("Mail from abroad"),
        _("The message came from a foreign mail service, and the receiving body has such mail marked or held."),
        _("Some bodies look at mail from abroad before it is delivered."),
        _(
            "Nothing needs to be done. If you expect a message that has not come, give its reference to "
            "your body's officer."
        ),
    ),
    "H-IN-02": Explanation(
        _("From abroad in the name of a public body"),
        _("The message came from a foreign server and says that a public body sent it."),
        _("Public bodies send through the national mail alone; who writes in their name from outside is not believed."),
        _("If it was you, send it again with your official account; that works from every country."),
    ),
}  # fmt: skip

DETECTION = Explanation(
    _("The content was found dangerous"),
    _(
        "A detection rule fits a file or link in the message. The message was refused, or is held until a"
        " person looks at it."
    ),
    _("Files and links of this kind are used to take over computers and to steal passwords."),
    _(
        "Do not send it by another way. If you made the file yourself and it is harmless, send it in a "
        "plain format, or tell your body's officer and give the reference. If you did not send it, change"
        " your password and tell the officer at once."
    ),
)  # fmt: skip


def explanation(rule: str) -> Explanation | None:
    """The explanation of a policy rule; None where the rule is no policy rule."""
    return EXPLANATIONS.get(rule.upper())
