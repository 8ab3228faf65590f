"""The relay's control API by mutual TLS, in the name of the acting person. The one door to httpx."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import httpx

from hudhud import codec

TIMEOUT_S = 10.0
MAX_ANSWER_BYTES = 16 * 1024 * 1024


class RelayDown(Exception):  # noqa: N818 - a state of the world
    """The control API cannot be reached or does not answer as agreed."""


class RelayRefused(Exception):  # noqa: N818 - an answer
    """The control API said no: `status` is the HTTP status, `problem` its words."""

    def __init__(self, status: int, problem: str) -> None:
        super().__init__(f"{status} {problem}")
        self.status, self.problem = status, problem


class Relay:
    """Each call names who acts (`actor`, a login): the relay writes it into its own audit chain."""

    def __init__(self, url: str, tls: ssl.SSLContext) -> None:
        self._client = httpx.AsyncClient(
            base_url=url, verify=tls, timeout=TIMEOUT_S, trust_env=False, follow_redirects=False
        )

    async def close(self) -> None:
        await self._client.aclose()

    async def queue(self, actor: str, **filters: str | int | None) -> tuple[list[Mapping[str, Any]], str]:
        """A page of messages, newest first, and the cursor that goes on behind it, "" at the end.

        Filters: state (queued, held), sender, recipient, rule, limit (at most 1,000), cursor.
        """
        asked = {name: str(value) for name, value in filters.items() if value not in (None, "")}
        answer = await self._ask("GET", "/v1/queue", actor, query=asked)
        messages = [one for one in answer.get("messages", []) if isinstance(one, Mapping)]
        return messages, str(answer.get("next") or "")

    async def message(self, actor: str, queue_id: str) -> Mapping[str, Any]:
        """Envelope, verdicts, findings, attempts of one message; RelayRefused 404 where there is none."""
        return await self._ask("GET", f"/v1/messages/{_part(queue_id)}", actor)

    async def preview(self, actor: str, queue_id: str, reason: str) -> Mapping[str, Any]:
        """The text of a held message, for a reason that is recorded."""
        return await self._ask("GET", f"/v1/messages/{_part(queue_id)}/preview", actor, query={"reason": reason})

    async def release(self, actor: str, queue_id: str, reason: str) -> Mapping[str, Any]:
        """Let a held message go on."""
        return await self._ask("POST", f"/v1/messages/{_part(queue_id)}/release", actor, body={"reason": reason})

    async def delete(self, actor: str, queue_id: str, reason: str) -> Mapping[str, Any]:
        """Delete a held message for good."""
        return await self._ask("POST", f"/v1/messages/{_part(queue_id)}/delete", actor, body={"reason": reason})

    async def unstop(self, actor: str, rule: str) -> Mapping[str, Any]:
        """Let a rule run again that stopped itself."""
        return await self._ask("POST", f"/v1/rules/{_part(rule)}/unstop", actor, body={})

    async def status(self, actor: str) -> Mapping[str, Any]:
        """What the relay says of itself: workers, counts, stopped rules, releases in force."""
        return await self._ask("GET", "/v1/status", actor)

    async def _ask(
        self,
        method: str,
        path: str,
        actor: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, str] | None = None,
    ) -> Mapping[str, Any]:
        content = None if body is None else codec.encode(body)
        headers = {
            b"Hudhud-Actor": actor.encode(),
            **({b"content-type": b"application/json"} if content is not None else {}),
        }
        try:
            answer = await self._client.request(method, path, params=query, content=content, headers=headers)
            if len(answer.content) > MAX_ANSWER_BYTES:
                raise RelayDown(f"{path}: an answer of {len(answer.content)} octets")
            value = codec.decode(answer.content) if answer.content else {}
        except (httpx.HTTPError, codec.CodecError, ssl.SSLError, OSError) as error:
            raise RelayDown(f"{path}: {error or type(error).__name__}") from error
        if answer.status_code >= 500:
            raise RelayDown(f"{path}: {answer.status_code}")
        if answer.status_code >= 400:
            problem = value.get("error", "") if isinstance(value, Mapping) else ""
            raise RelayRefused(answer.status_code, str(problem))
        if not isinstance(value, Mapping):
            raise RelayDown(f"{path}: not an object")
        return value


def _part(text: str) -> str:
    """One segment of a path, whatever it is made of."""
    return quote(text, safe="")
