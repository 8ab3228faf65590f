"""Where a domain's mail hosts stand, asked of the configured name servers."""

from __future__ import annotations

from collections.abc import Sequence

from hudhud.settings import Dns
from mail.dns import LiveResolver
from mail.national import gather_hosts


class MxHosts:
    """The addresses of a domain's MX hosts, or a word for why there are none."""

    def __init__(self, settings: Dns) -> None:
        self._resolver = LiveResolver(settings)

    async def addresses(self, domain: str) -> Sequence[str] | str:
        facts = await gather_hosts(domain, self._resolver)
        if isinstance(facts.mx, str):
            return f"not found ({facts.mx})"
        if not facts.mx:
            return "none published"
        return [address for found in facts.addresses.values() if not isinstance(found, str) for address in found]
