"""The dialog of AUTH: how it begins, goes on, is cancelled and refused (RFC 4954, 4616, 5802, 7628)."""

from __future__ import annotations

import base64
from typing import Any

import msgspec
import pytest
from scramp import ScramClient

from mail import accounts
from mail.proof.scram import Keys
from mail.session import sasl
from tests.mail.session.conftest import AMAL, HASHED, PASSWORD, QUICK


def coded(text: str | bytes) -> str:
    return base64.b64encode(text.encode() if isinstance(text, str) else text).decode()


RIGHT = coded(f"\0{AMAL}\0{PASSWORD}")


async def secured(running: Any) -> Any:
    talk = await running.hello("submission")
    await talk.say("STARTTLS")
    await talk.start_tls(running.context)
    await talk.say("EHLO x.example")
    return talk


async def test_a_log_in_may_begin_with_the_command_or_after_it_and_is_given_once(start: Any) -> None:
    async with start() as running:
        for lines in (
            [f"AUTH PLAIN {RIGHT}"], ["auth plain", RIGHT],
            [f"AUTH PLAIN {coded(f'{AMAL}{chr(0)}{AMAL}{chr(0)}{PASSWORD}')}"],
            ["AUTH LOGIN", coded(AMAL), coded(PASSWORD)], [f"AUTH LOGIN {coded(AMAL)}", coded(PASSWORD)],
            [f"AUTH PLAIN {coded(f'{chr(0)}{AMAL.upper()}{chr(0)}{PASSWORD}')}"],
        ):  # fmt: skip
            talk = await secured(running)
            *begun, last = [await talk.say(line) for line in lines]
            assert all(one.startswith("334") for one in begun)
            assert last.startswith("235 2.7.0"), lines
            assert (await talk.say(f"AUTH PLAIN {RIGHT}")).startswith("503 5.5.1")
            assert "AUTH" not in await talk.say("EHLO x.example")
            talk.close()
        assert [coded("Username:"), coded("Password:")] == [sasl._ASK_USER, sasl._ASK_PASSWORD]


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        (["AUTH PLAIN", "*"], "501 5.7.0"), (["AUTH LOGIN", coded(AMAL), "*"], "501 5.7.0"), (["AUTH"], "504 5.5.4"),
        (["AUTH CRAM-MD5"], "504 5.5.4"), (["AUTH PLAIN ="], "501 5.5.2"), (["AUTH PLAIN", "AA=A"], "501 5.5.2"),
        ([f"AUTH PLAIN {coded(AMAL)}"], "501 5.5.2"), ([f"AUTH PLAIN {coded(f'{chr(0)}{chr(0)}x')}"], "501 5.5.2"),
        ([f"AUTH PLAIN {coded(f'other@x.example{chr(0)}{AMAL}{chr(0)}{PASSWORD}')}"], "535 5.7.8"),
        ([f"AUTH PLAIN {coded(f'{chr(0)}{AMAL}{chr(0)}')}"], "535 5.7.8"),
        ([f"AUTH PLAIN {coded(f'{chr(0)}{AMAL}{chr(0)}' + 'x' * 2000)}"], "535 5.7.8"),
        ([f"AUTH PLAIN {coded(b'{0}{1}{0}{1}'.replace(b'{0}', bytes(1)).replace(b'{1}', bytes([255])))}"], "535 5.7.8"),
        (["AUTH SCRAM-SHA-256", coded("p=tls-unique,,n=a,r=b")], "501 5.5.2"),
        ([f"AUTH SCRAM-SHA-256 {coded('n,,n=a,r=b')}", coded("c=biws,r=b,p=AAAA")], "501 5.5.2"),
        ([f"AUTH SCRAM-SHA-256 {coded('n,,n=a,r=b')}", "*"], "501 5.7.0"), (["AUTH XOAUTH2"], "504 5.5.4"),
    ],
)  # fmt: skip
async def test_what_is_cancelled_misspelt_or_wrong_is_refused_and_the_session_goes_on(
    lines: list[str], code: str, start: Any
) -> None:
    async with start() as running:
        talk = await secured(running)
        *_, last = [await talk.say(line) for line in lines]
        assert last.startswith(code)
        assert (await talk.say(f"AUTH PLAIN {RIGHT}")).startswith("235")
        assert (await talk.envelope(AMAL))[0].startswith("250")
        assert (await talk.say("AUTH LOGIN")).startswith("503")


async def test_scram_ends_with_the_proof_of_the_server_and_not_before(start: Any, tmp_path: Any) -> None:
    async with start() as running:
        row = accounts.row(AMAL, "FIN", "Amal", HASHED)
        row = msgspec.structs.replace(row, scram=str(Keys.make(PASSWORD, bytes(16), 4096)))
        accounts.write(tmp_path / "accounts.toml", [row])
        assert running.house.login._live.refresh()
        talk, client = await secured(running), ScramClient(["SCRAM-SHA-256"], AMAL, PASSWORD)
        first = await talk.say(f"AUTH SCRAM-SHA-256 {coded(client.get_client_first())}")
        client.set_server_first(base64.b64decode(first[4:]).decode())
        final = await talk.say(coded(client.get_client_final()))
        assert final.startswith("334 ")
        client.set_server_final(base64.b64decode(final[4:]).decode())
        assert (await talk.say("")).startswith("235 2.7.0")


async def test_a_line_of_twelve_kibibytes_is_read_whole(start: Any) -> None:
    async with start(auth=QUICK) as running:
        talk = await secured(running)
        assert (await talk.say(f"AUTH PLAIN {coded(bytes(8000))}")).startswith("501 5.5.2")
        assert (await talk.say("AUTH PLAIN")).startswith("334")
        assert (await talk.say(coded(bytes(9000)))).startswith("501 5.5.2")
        assert (await talk.say(f"AUTH PLAIN {RIGHT}")).startswith("235")
