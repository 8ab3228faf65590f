"""The acts of the morning that are mail: what is sent, and what must have come of it."""

from __future__ import annotations

import asyncio
import base64
from dataclasses import dataclass

from deploy.tour import lures
from deploy.tour.lab import CITIZEN, Lab, Sent, until
from mail import dkim_door, sign

AMAL = "amal@finance.saba.example"
RANIA = "rania@finance.saba.example"
SALIM = "salim@interior.saba.example"
NOTICE_S = 30.0  # the promise to people: a refusal is explained in one's own mailbox within so long
DELIVERY_S = 60.0
STRANGE_BODY = (
    "لا إله إلا هو\r\n.dot\r\n..two dots\r\n trailing blanks  \t\r\n".encode() + b"\xff\xfe bytes\r\n\r\n\r\n"
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """One line of the table: what was tried, what had to come, what came."""

    step: str
    expected: str
    seen: str
    good: bool


def outcome(step: str, expected: str, good: object, seen: str) -> Outcome:
    return Outcome(step, expected, seen if seen else "nothing", bool(good))


def body_of(data: bytes) -> bytes:
    """What stands below the header."""
    return data.partition(b"\r\n\r\n")[2]


async def ministry_to_ministry(lab: Lab) -> list[Outcome]:
    """1a. Delivered, signed, and the body byte for byte as it was sent."""
    identity, data = lab.compose(AMAL, [SALIM], f"Budget {lab.run}", STRANGE_BODY)
    sent = await asyncio.to_thread(lab.submit, AMAL, [SALIM], data)
    got = await until(lambda: lab.find(SALIM, identity), DELIVERY_S)
    seen = "delivered" if got else f"not delivered; the relay said {sent.reply}"
    same = got is not None and body_of(got) == STRANGE_BODY
    signed = got is not None and "finance.saba.example" in dkim_door.verified(got, lab.txt)
    return [
        outcome("1 ministry to ministry", "delivered", got, seen),
        outcome("", "signed by finance.saba.example", signed, "signature verifies" if signed else "no valid signature"),
        outcome("", "same bytes", same, f"{len(STRANGE_BODY)} octets the same" if same else "the body differs"),
    ]


async def citizen_and_answer(lab: Lab) -> list[Outcome]:
    """1b, 1c. A citizen abroad writes, her own signature holds; the ministry answers her."""
    identity, data = lab.compose(CITIZEN, [AMAL], f"A question {lab.run}", b"When does the office open?\r\n")
    head, _, body = data.partition(b"\r\n\r\n")
    signer = sign.Signer(lab.data / "keys", "s1")
    data = signer.sign(head + b"\r\n", body) + data
    await asyncio.to_thread(lab.from_abroad, CITIZEN, [AMAL], data)
    got = await until(lambda: lab.find(AMAL, identity), DELIVERY_S)
    valid = got is not None and "freemail.example" in dkim_door.verified(got, lab.txt)
    headers = (f"In-Reply-To: {identity}", f"References: {identity}")
    answer_id, answer = lab.compose(AMAL, [CITIZEN], f"Re: A question {lab.run}", b"At eight.\r\n", headers=headers)
    sent = await asyncio.to_thread(lab.submit, AMAL, [CITIZEN], answer, implicit_tls=True)
    answered = await until(lambda: lab.find(CITIZEN, answer_id), DELIVERY_S)
    return [
        outcome("1 a citizen writes from abroad", "delivered", got, "delivered" if got else "not delivered"),
        outcome("", "her own signature still verifies", valid, "verifies" if valid else "does not verify"),
        outcome("", "the answer reaches her", answered, "delivered abroad" if answered else f"relay: {sent.reply}"),
    ]


async def unsolicited_abroad(lab: Lab) -> list[Outcome]:
    """2. Refused with rule and link (at DATA: that nobody gets it is heard at once); the notice within 30 s."""
    foreign = lures.friend(lab.run)
    _, data = lab.compose(RANIA, [foreign], f"Figures {lab.run}", b"Attached.\r\n")
    sent = await asyncio.to_thread(lab.submit, RANIA, [foreign], data)
    code, text = sent.refused.get(foreign, sent.reply)
    link = lab.settings.relay.help_url in text
    notice = await until(lambda: lab.look(RANIA, lambda d: foreign.encode() in d), NOTICE_S)
    languages = _languages(notice or b"")
    return [
        outcome(
            "2 an official writes abroad, unsolicited",
            "550, H-NAT-02",
            code == 550 and "H-NAT-02" in text,
            text,
        ),
        outcome("", "a link that explains it", link, text.partition("https")[2][:60] if link else "no link"),
        outcome(
            "", "notice in Arabic and English within 30 s", languages == {"ar", "en"}, ", ".join(sorted(languages))
        ),
    ]


def _languages(data: bytes) -> set[str]:
    """Which of our languages the text of a message is in: its parts are decoded by the standard library."""
    from email import message_from_bytes

    found = set()
    for part in message_from_bytes(data).walk():
        payload = part.get_payload(decode=True)
        text = payload.decode("utf-8", "replace") if isinstance(payload, bytes) else ""
        found |= {"ar"} if any("\u0621" <= c <= "\u064a" for c in text) else set()
        found |= {"en"} if "national" in text.lower() else set()
    return found


async def leak_and_partial(lab: Lab) -> list[Outcome]:
    """3. A foreign Reply-To is refused; of twelve recipients eleven are served and one is told of by notice."""
    headers = (f"Reply-To: private-{lab.run}@freemail.example",)
    _, data = lab.compose(RANIA, [SALIM], f"Answer me there {lab.run}", b"Please.\r\n", headers=headers)
    leaked = await asyncio.to_thread(lab.submit, RANIA, [SALIM], data)
    colleagues = list(lures.colleagues(11))
    forbidden = f"outsider-{lab.run}@freemail.example"
    identity, data = lab.compose(RANIA, [*colleagues, forbidden], f"Meeting {lab.run}", b"At ten.\r\n")
    sent = await asyncio.to_thread(lab.submit, RANIA, [*colleagues, forbidden], data)
    served = await until(lambda: sum(1 for c in colleagues if lab.find(c, identity)) == 11 or None, DELIVERY_S)
    count = 11 if served else sum(1 for c in colleagues if lab.find(c, identity))
    notice = await until(
        lambda: lab.look(RANIA, lambda d: forbidden.encode() in d and identity.encode() not in d), NOTICE_S
    )
    told = notice is not None and b"H-NAT-02" in notice
    return [
        outcome(
            "3 a foreign Reply-To",
            "refused with H-LEAK",
            "H-LEAK" in leaked.reply[1],
            f"{leaked.reply[0]} {leaked.reply[1]}",
        ),
        outcome("3 eleven colleagues and one abroad", "eleven delivered", count == 11, f"{count} delivered"),
        outcome("", "the whole message taken", not sent.refused and sent.accepted, f"{sent.reply[0]} {sent.reply[1]}"),
        outcome("", "one told of by notice within 30 s, with the reason", told, "told" if told else "no notice"),
    ]


async def dangerous(lab: Lab) -> list[Outcome]:
    """4. A macro document and a double-extension executable in an archive: both held, nothing delivered."""
    outcomes = []
    for what, name, content in (
        ("4 a macro document", lures.report(lab.run), lures.macro_document(lab.run)),
        ("4 invoice.pdf.exe in an archive", lures.invoice(lab.run), lures.executable_in_archive(lab.run)),
    ):
        identity, data = lab.compose(CITIZEN, [AMAL], name, multipart(name, content), headers=MULTIPART)
        sent = await asyncio.to_thread(lab.from_abroad, CITIZEN, [AMAL], data)
        held = await lab.held(sent)
        there = lab.find(AMAL, identity) is not None
        seen = f"held by {', '.join(held)}" if held else f"{sent.reply[0]} {sent.reply[1]}; not held"
        outcomes.append(outcome(what, "held, not delivered", held and not there, seen))
    return outcomes


MULTIPART = ("MIME-Version: 1.0", 'Content-Type: multipart/mixed; boundary="tour"')


def multipart(name: str, content: bytes) -> bytes:
    """The body of a message with a short text and one attachment."""
    encoded = base64.encodebytes(content).replace(b"\n", b"\r\n")
    return (
        b"--tour\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nSee the attachment.\r\n"
        b"--tour\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n"
        + f'Content-Disposition: attachment; filename="{name}"\r\n\r\n'.encode()
        + encoded
        + b"--tour--\r\n"
    )


async def campaign(lab: Lab) -> list[Outcome]:
    """5. The same lure to five ministries."""
    targets = list(lures.heads(5))
    replies: list[Sent] = []
    for target in targets:
        _, data = lab.compose(CITIZEN, [target], lures.SUBJECT, lures.phish(lab.run), headers=lures.HTML)
        replies.append(await asyncio.to_thread(lab.from_abroad, CITIZEN, [target], data))
    taken = sum(1 for reply in replies if reply.accepted)
    return [outcome("5 the same lure to five ministries", "five taken", taken == 5, f"{taken} taken")]
