"""The one door to Elasticsearch: a few requests, and its errors in the store's words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, cast

from elastic_transport import AiohttpHttpNode, HttpHeaders
from elastic_transport.client_utils import DEFAULT
from elasticsearch import ApiError, AsyncElasticsearch, NotFoundError, TransportError

from cert.store import StoreDown
from hudhud import codec

REQUEST_S: Final = 30.0
CONNECTIONS: Final = 10  # per host
CONFLICT, NOT_FOUND = 409, 404
BUSY: Final = frozenset({403, 429, 502, 503, 504})  # 403: an index that a full disk made read-only

Document = Mapping[str, Any]


async def _speak(  # noqa: PLR0917 - the client calls it so
    node: Any, method: str, target: str, body: bytes | None = None, headers: Any = None, request_timeout: Any = DEFAULT
) -> Any:
    """A request in the client's version of the protocol, and from then on in version 8 where the server is that old."""
    sent = dict(headers or {})
    while True:
        if node.older:
            sent = {name: str(value).replace("compatible-with=9", "compatible-with=8") for name, value in sent.items()}
        answer: Any = await cast("Any", AiohttpHttpNode.perform_request)(
            node, method, target, body, HttpHeaders(sent), request_timeout
        )
        if node.older or answer.meta.status != 400 or b"media_type_header_exception" not in answer.body:
            return answer
        node.older = True


class _Node(AiohttpHttpNode):
    """Talks to newer servers as it should, and to version 8 too, which the reduced tests run on."""

    older = False
    perform_request = cast("Any", _speak)


class Conflict(Exception):  # noqa: N818 - an answer
    """Another writer was first."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a bulk request: `action` is create, index, update or delete; `body` its JSON, b"" for delete."""

    action: str
    index: str
    id: str
    body: bytes
    version: int | None = None  # external version: refused unless it is higher than the stored one


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one line of a bulk request: `status` as in HTTP, `reason` where it failed."""

    id: str
    status: int
    reason: str


class Cluster:
    """A cluster and the prefix of our indices in it. Every method raises StoreDown when the cluster cannot serve."""

    def __init__(self, hosts: Sequence[str], prefix: str, *, ca: str = "", api_key: str = "") -> None:
        self.prefix = prefix
        secure: dict[str, Any] = {"ca_certs": ca} if ca else {}
        self._client = AsyncElasticsearch(
            list(hosts),
            api_key=api_key or None,
            request_timeout=REQUEST_S,
            retry_on_timeout=False,
            max_retries=1,
            connections_per_node=CONNECTIONS,
            node_class=_Node,
            **secure,
        )

    async def close(self) -> None:
        await self._client.close()

    def index(self, kind: str, partition: str = "") -> str:
        """The name of an index: prefix-kind or prefix-kind-partition."""
        return "-".join(part for part in (self.prefix, kind, partition) if part)

    async def health(self) -> str:
        """ "green", "yellow" or "red"."""
        with _told():
            answer = await self._client.cluster.health(timeout="2s")
        return str(answer["status"])

    async def put_template(self, kind: str, pattern: str, mappings: Document, settings: Document) -> None:
        """For indices of that kind; those that exist keep what they have."""
        name = self.index(kind)
        body = {"mappings": mappings, "settings": settings}
        with _told():
            await self._client.indices.put_index_template(
                name=name, index_patterns=[self.index(pattern)], priority=200, template=body
            )

    async def create_index(self, name: str) -> None:
        """Make an index from its template; nothing where it is there."""
        with _told():
            if not await self._client.indices.exists(index=name):
                await self._client.options(ignore_status=400).indices.create(index=name)

    async def bulk(self, lines: Iterable[Line], *, refresh: bool = False) -> list[Outcome]:
        """What became of each line, in order. StoreDown when the cluster had no room for any of them just now."""
        operations: list[Any] = []
        for line in lines:
            action: dict[str, object] = {"_index": line.index, "_id": line.id}
            if line.version is not None:
                action |= {"version": line.version, "version_type": "external"}
            operations.append(codec.encode({line.action: action}))
            if line.body:
                operations.append(line.body)
        if not operations:
            return []
        with _told():
            answer = await self._client.bulk(operations=operations, refresh=refresh)
        found = [_outcome(next(iter(one.values()))) for one in answer["items"]]
        busy = next((outcome for outcome in found if outcome.status in BUSY), None)
        if busy is not None:
            raise StoreDown(f"Elasticsearch is busy: {busy.reason}")
        return found

    async def plain_bulk(self, documents: Sequence[Document]) -> int:
        """The client's own bulk helper, as anybody would use it: what the store's stage is measured against."""
        from elasticsearch.helpers import async_bulk

        index = self.index("events", "plain")
        with _told():
            done, _errors = await async_bulk(self._client, ({"_index": index, "_source": one} for one in documents))
        return int(done)

    async def get(self, index: str, id: str) -> Document | None:
        """The document as last written, refreshed or not."""
        with _told():
            try:
                answer = await self._client.get(index=index, id=id)
            except NotFoundError:
                return None
        return dict(answer["_source"])

    async def put(self, index: str, id: str, body: bytes, version: int) -> None:
        """Write it as `version`; Conflict where that version or a later one is stored."""
        outcome = (await self.bulk([Line("index", index, id, body, version)], refresh=True))[0]
        if outcome.status == CONFLICT:
            raise Conflict(id)
        if outcome.status >= 400:
            raise StoreDown(f"Elasticsearch refused {id}: {outcome.reason}")

    async def search(self, index: str, body: Document) -> Document:
        """The answer to a search; indices that do not exist are empty."""
        with _told():
            answer = await self._client.search(index=index, **body, ignore_unavailable=True, allow_no_indices=True)
        if answer["_shards"]["failed"]:
            why = [str(one["reason"].get("reason")) for one in answer["_shards"].get("failures", ())][:1]
            raise StoreDown(f"{answer['_shards']['failed']} shards did not answer: {'; '.join(why)}")
        return dict(answer)

    async def refresh(self, index: str) -> None:
        with _told():
            await self._client.indices.refresh(index=index, ignore_unavailable=True, allow_no_indices=True)

    async def names(self, pattern: str) -> list[str]:
        """The indices that exist."""
        with _told():
            return sorted(await self._client.indices.get(index=pattern, allow_no_indices=True, features="aliases"))

    async def delete_index(self, name: str) -> None:
        with _told():
            await self._client.indices.delete(index=name, ignore_unavailable=True)


def _outcome(line: Document) -> Outcome:
    error = line.get("error") or {}
    cause = error.get("caused_by") or {}
    reason = ": ".join(str(text) for text in (error.get("reason"), cause.get("reason")) if text)
    return Outcome(str(line["_id"]), int(line["status"]), reason)


@contextmanager
def _told() -> Iterator[None]:
    """The client's errors as ours; what we asked wrongly stays an error of ours."""
    try:
        yield
    except ApiError as error:
        if error.status_code == CONFLICT:
            raise Conflict(str(error)) from error
        if error.status_code in BUSY or error.status_code >= 500 or error.status_code in {401, 408}:
            raise StoreDown(f"Elasticsearch: {error}") from error
        raise
    except TransportError as error:
        raise StoreDown(f"Elasticsearch cannot be reached: {error}") from error
