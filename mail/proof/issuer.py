"""An issuer of tokens: its keys (RFC 7517, from a file or an address) or its introspection endpoint (RFC 7662)."""

from __future__ import annotations

import asyncio
import json
import ssl
from pathlib import Path
from typing import Final

import httpx
from joserfc.jwk import KeySet

from hudhud import log
from hudhud.clock import Clock
from hudhud.settings import Issuer as Settings
from mail.accounts import normal
from mail.proof import token as tokens
from mail.proof.known import BackendDown, Known
from mail.proof.token import Holder, TokenError, UnknownKey

MAX_ANSWER: Final = 1024 * 1024  # octets of a JWK set or an introspection
PAUSE_S: Final = 30.0  # between two looks for keys that an unknown key id asks for
ENDLESS_S: Final = 300  # how long a token counts whose end is not told

_log = log.get(__name__)


class Issuer:
    """One issuer. Keys that are there go on being used where newer ones cannot be had."""

    def __init__(self, name: str, settings: Settings, file: Path | None, secret: str, clock: Clock) -> None:
        self.name, self.settings, self._file, self._secret, self._clock = f"oauth.{name}", settings, file, secret, clock
        self._keys: KeySet | None = None
        self._looked: float | None = None
        self._state: tuple[int, int] | None = None
        self._gate = asyncio.Lock()
        self._client: httpx.AsyncClient | None = None

    async def verify(self, token: str) -> Known | None:
        """Whose token it is; None where it does not hold. BackendDown."""
        try:
            holder = await (self._introspect(token) if self.settings.introspection else self._check(token))
            return Known(normal(holder.address), until=holder.until)
        except ValueError as error:  # TokenError, and a claim that is no address
            _log.info("a token does not hold", backend=self.name, problem=str(error))
            return None

    async def look(self) -> None:
        """Whether its keys can be had; BackendDown."""
        if not self.settings.introspection:
            await self._fresh(self.settings.refresh_s)

    async def close(self) -> None:
        if self._client is not None:
            await self._client.aclose()

    async def _check(self, token: str) -> Holder:
        keys = await self._fresh(self.settings.refresh_s)
        try:
            return tokens.verify(token, keys, self.settings, self._clock.now())
        except UnknownKey:
            newer = await self._fresh(PAUSE_S)
            if newer is keys:
                raise
            return tokens.verify(token, newer, self.settings, self._clock.now())

    async def _fresh(self, age_s: float) -> KeySet:
        """Keys that were looked at within `age_s`, or the ones before where that fails; BackendDown without any."""
        async with self._gate:
            now = self._clock.monotonic()
            if (
                self._keys is not None
                and self._looked is not None
                and self._file is None
                and now < self._looked + age_s
            ):
                return self._keys
            self._looked = now
            try:
                data = await self._get() if self._file is None else self._changed(self._file)
                if data is not None:
                    self._keys = tokens.read_keys(data)
            except (OSError, ValueError, httpx.HTTPError) as error:
                if self._keys is None:
                    raise BackendDown(self.name, f"no keys: {error or type(error).__name__}") from None
                _log.warning("keeping an issuer's keys", backend=self.name, problem=str(error))
            assert self._keys is not None
            return self._keys

    def _changed(self, file: Path) -> bytes | None:
        """The file, where it is not as it was."""
        state = file.stat().st_mtime_ns, file.stat().st_size
        if state == self._state and self._keys is not None:
            return None
        self._state = state
        return file.read_bytes()

    async def _get(self) -> bytes:
        return await self._answer("GET", self.settings.jwks, None)

    async def _introspect(self, token: str) -> Holder:
        try:
            answer = json.loads(await self._answer("POST", self.settings.introspection, {"token": token}))
        except (OSError, httpx.HTTPError, json.JSONDecodeError) as error:
            raise BackendDown(self.name, str(error) or type(error).__name__) from None
        if not isinstance(answer, dict) or answer.get("active") is not True:
            raise TokenError("not active")
        now = self._clock.now()
        # RFC 7662 section 2.2: iss and exp are optional; who answers is known, and what may end is soon asked again
        claims: dict[str, object] = {"iss": self.settings.issuer, "exp": int(now.timestamp()) + ENDLESS_S, **answer}
        return tokens.check(claims, self.settings, now)

    async def _answer(self, method: str, url: str, form: dict[str, str] | None) -> bytes:
        """The body of a 200, of at most MAX_ANSWER octets; redirections are not followed."""
        if self._client is None:
            context = ssl.create_default_context(cafile=self.settings.ca or None)
            self._client = httpx.AsyncClient(verify=context, timeout=self.settings.timeout_s, trust_env=False)
        auth = (self.settings.client_id, self._secret) if form is not None else None
        body = bytearray()
        async with self._client.stream(
            method, url, data=form, auth=auth, headers={"Accept": "application/json"}
        ) as answer:  # fmt: skip
            if answer.status_code != 200:
                raise httpx.HTTPError(f"answered {answer.status_code}")
            async for chunk in answer.aiter_bytes():
                body += chunk
                if len(body) > MAX_ANSWER:
                    raise httpx.HTTPError(f"answered more than {MAX_ANSWER} octets")
        return bytes(body)
