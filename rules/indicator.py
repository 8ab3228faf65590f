"""A rule must ask for something technical: what matches names or topics alone is refused (design §8.4). Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from rules.build import build
from rules.eventrule import Compare, CorrelationRule, SigmaRule
from rules.predicate import And, Exists, Keyword, Leaf, Node, Not, Or, Text, field_names
from rules.rule import Rule
from rules.samples import Sample
from rules.yara import EXTERNALS, YaraRules

# --- mail rules: held against the words of their own samples, in ordinary files and messages ------------------------

_TAG = re.compile(r"<[^>]{0,2000}>")
_LINK = re.compile(r"[a-z][a-z0-9+.-]{1,20}:[^\s]*", re.IGNORECASE)
_ADDRESS = r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+"
_LATIN_WORD = r"[A-Z]?[a-z]+(?:['’][a-z]+)?|[A-Z]{2,}"
_OTHER_WORD = r"(?:(?![A-Za-z0-9_])\w[\u064b-\u0655\u200c\u200d]*)+"
_NUMBER = r"\+?[0-9][0-9-]*"
_WORD = re.compile(rf"""["'(«]?(?:{_ADDRESS}|{_LATIN_WORD}|{_OTHER_WORD}|{_NUMBER})[.,:;!?)"'»…،؛؟]*""")
_LITERAL = re.compile(r'\$\w*\s*=\s*"((?:[^"\\]|\\.)*)"')


def words(text: str) -> str:
    """The names, words, numbers and addresses of a text: without tags, links, code, or anything a program reads."""
    plain = _LINK.sub(" ", _TAG.sub(" ", text))
    return " ".join(token for token in plain.split() if _WORD.fullmatch(token))


def _carriers(text: str) -> Iterator[tuple[str, bytes, dict[str, str | int]]]:
    """Ordinary mail and ordinary files that hold the words and nothing else."""
    page = (
        '<html><head><meta charset="utf-8"></head><body><p>{}</p><p><a href="https://www.example.org/page">'
        'www.example.org</a></p><img src="cid:logo"></body></html>'
    )
    document = "<w:document><w:body><w:p><w:r><w:t>{}</w:t></w:r></w:p></w:body></w:document>"
    content = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
    office = [{"name": "[Content_Types].xml", "data": "<Types/>", "stored": True}]
    office += [{"name": "word/document.xml", "data": document.format(text), "stored": True}]
    header = f"From: {text} <a@example.org>\r\nTo: {text} <b@example.org>\r\nSubject: {text}\r\n"
    yield "a header", header.encode(), {"part": "header"}
    yield "a plain text", f"{text}\r\n".encode(), {"part": "body", "media_type": "text/plain"}
    yield "an HTML text", page.format(text).encode(), {"part": "body", "media_type": "text/html"}
    yield "a text file", text.encode(), {"filename": "note.txt", "extension": "txt", "media_type": "text/plain"}
    yield (
        "a page",
        page.format(text).encode(),
        {"filename": "note.html", "extension": "html", "media_type": "text/html"},
    )
    yield "a document", build({"zip": office}), {"filename": "note.docx", "extension": "docx", "media_type": content}
    yield (
        "a document's text",
        document.format(text).encode(),
        {"filename": "word/document.xml", "extension": "xml", "depth": 1},
    )
    yield "a PDF", f"%PDF-1.7\n1 0 obj ({text}) Tj endobj".encode(), {"filename": "note.pdf", "extension": "pdf"}
    for ending in ("pdf", "docx", "jpg"):
        name = f"{text[:200]}.{ending}"
        yield f"a file's name (.{ending})", b"", {"filename": name, "extension": ending}


def words_alone(rule: Rule, samples: tuple[Sample, ...], yara: YaraRules) -> str | None:
    """Where the rule matches on words alone, or None. `samples` are those the rule must match."""
    texts = {words(" ".join(_LITERAL.findall(rule.text)))}
    for sample in samples:
        assert sample.data is not None
        texts.add(words(sample.data.decode("utf-8", "ignore")))
        texts.add(words(str(sample.externals["filename"]).rpartition(".")[0]))
    for text in sorted(texts):
        for where, data, externals in _carriers(text):
            hits = yara.scan(data, externals={**EXTERNALS, "part": "attachment", **externals})
            if any(hit.rule == rule.id for hit in hits):
                return where
    return None


# --- event rules: what is left of the condition when nothing technical is seen --------------------------------------

TOPICS: Final = frozenset(
    {
        "message", "event.original", "email.subject", "email.from.address", "email.to.address", "email.cc.address",
        "email.bcc.address", "email.reply_to.address", "email.sender.address", "email.attachments.file.name",
        "user.name", "user.email", "user.full_name", "user.id", "source.user.name", "destination.user.name",
        "related.user", "hudhud.mail.account", "url.original", "url.full", "url.path", "url.query", "tags", "labels",
    }
)  # fmt: skip
"""Fields that name people or say what they write and read about."""

_SCOPE: Final = re.compile(
    r"(event\.(dataset|kind|category|type|provider|module|outcome|created|ingested|id)|organization\..*|observer\..*"
    r"|email\.(direction|message_id)|hudhud\.mail\.(listener|disposition|queue_id|size)|network\.(direction|transport))"
)
_TELLING_ACTIONS: Final = frozenset(
    {
        "held",
        "refused",
        "tagged",
        "deferred",
        "bounced",
        "released",
        "rule-stopped",
        "check-suspended",
        "exemption-used",
        "rejudged",
    }
)


def topic_alone(rule: SigmaRule) -> bool:
    """Whether names, topics and scope (whose, where, when) are enough to fit the rule."""
    return _can_be(rule.condition, wanted=True, web=_web(rule))


def topic_grouped(rule: CorrelationRule) -> str | None:
    """A field that the correlation counts or groups by and must not: what people write about. None = none."""
    counted = rule.condition.fields if isinstance(rule.condition, Compare) else ()
    aliased = {field for fields in rule.aliases.values() for field in fields.values()}
    forbidden = {"message", "event.original", "email.subject", "email.attachments.file.name"}
    return min(forbidden & {*rule.group_by, *counted, *aliased}, default=None)


def _web(rule: SigmaRule) -> bool:
    """Paths of requests are attack signs in web logs, and reading matter of people everywhere else."""
    return rule.logsource.category in ("webserver", "proxy") or rule.logsource.service == "http"


def _can_be(node: Node, *, wanted: bool, web: bool) -> bool:
    """Whether the node can be `wanted` when every technical question finds nothing and the others are free."""
    if isinstance(node, Not):
        return _can_be(node.part, wanted=not wanted, web=web)
    if isinstance(node, And | Or):
        every = isinstance(node, And) is wanted
        found = (_can_be(part, wanted=wanted, web=web) for part in node.parts)
        return all(found) if every else any(found)
    if isinstance(node, Keyword) or _is_free(node, web=web):
        return True
    if isinstance(node, Exists):
        return wanted is not node.wanted
    return not wanted


def _is_free(node: Node, *, web: bool) -> bool:
    if isinstance(node, Text) and node.names == ("event.action",):
        return node.literal not in _TELLING_ACTIONS
    names = field_names(node) if isinstance(node, Leaf) else ()
    return all(
        name == "event.action" or _SCOPE.fullmatch(name) or (name in TOPICS and not _sign(name, web)) for name in names
    )


def _sign(name: str, web: bool) -> bool:
    return web and name.startswith("url.")
