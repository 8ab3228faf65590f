"""What a message says and points to: text, URLs, and hash bands by which one lure in many dresses is known. Pure."""

from __future__ import annotations

import hashlib
import html
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final
from urllib.parse import unquote, urlsplit
from zlib import crc32

from hudhud.settings import Content
from mail.content.params import to_text
from mail.content.parts import Part

BANDS: Final = 6  # of the text; two texts are the same lure when one band is equal
ROWS: Final = 4  # hashes in a band: texts that share 80 % of their shingles agree in a band 9 times of 10
MIN_WORDS: Final = 12  # a shorter text is everybody's
MAX_TEXT: Final = 256 * 1024  # characters of a part that are read
MAX_WORDS: Final = 800  # of a text
MAX_PLACES: Final = 5000  # in one part that may begin a URL
MAX_INNER: Final = 4  # URLs that are looked for within another one
MAX_BANDS: Final = 64  # of one message

_URL = re.compile(r"(?:https?|ftp)://[^\s<>\"'`{}|\\^\x00-\x1f]{3,2000}|www\.[a-z0-9-]+\.[^\s<>\"'`]{2,2000}", re.I)
_ODD_REF = re.compile(r"""=[ ]?["']?(?://|\s|[a-z]{0,6}&#)""", re.I)
_REF = re.compile(
    r"""(?:href|src|action|background|Target)\s*=\s*(?:"([^"]{3,4000})"|'([^']{3,4000})'|([^\s"'>]{3,2000}))""", re.I
)
_HIDDEN = re.compile(r"<(script|style|head|title)\b|<!--", re.I)
_TAG = re.compile(r"<[^<>]{0,4000}>")
_UNSEEN = re.compile(r"[\s\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
_SIMPLE = re.compile(r"https?://([a-z0-9.-]+)(?::\d{1,5})?(/[^?#%\[\]]*)?(?:[?#]|\Z)", re.I)
_BEGINNINGS: Final = (b"www.", b"hxxp", b"href", b"src", b"action", b"background", b"target")
_TRAIL = ".,;:!?)]}>'\"»”’،؛؟"
NAMESPACES: Final = (
    "http://schemas.openxmlformats.org/",
    "http://schemas.microsoft.com/",
    "http://www.w3.org/",
    "http://purl.org/",
    "http://ns.adobe.com/",
    "http://purl.oclc.org/",
    "urn:",
)
"""Names of XML vocabularies that look like addresses; nobody follows them."""

_TEXT_TYPES: Final = frozenset({"text", "html", "xml", "svg", "script", "data"})
_URL_TYPES: Final = _TEXT_TYPES | {"pdf", "rtf", "lnk"}


@dataclass(frozen=True, slots=True)
class Features:
    """`text` is what a reader sees of the bodies; `urls` each once, in order; `lure` sorted band hashes."""

    text: str = ""
    urls: tuple[str, ...] = ()
    lure: tuple[str, ...] = ()


def features(parts: Iterable[Part], settings: Content) -> Features:
    """Of all parts that hold text; at most `max_urls` URLs."""
    urls: dict[str, None] = {}
    texts: list[str] = []
    files: list[str] = []
    for part in parts:
        is_text = part.is_body and part.detected_type in _TEXT_TYPES
        pointing = part.detected_type in _URL_TYPES and len(urls) < settings.max_urls and _may_point(part)
        source = to_text(part.data[:MAX_TEXT], part.charset) if is_text or pointing else ""
        if pointing:
            urls |= dict.fromkeys(url for url in find_urls(source) if not url.startswith(NAMESPACES))
        if is_text:
            texts.append(visible(source, is_html="html" in (part.detected_type, part.media_type[5:])))
        if (
            not part.is_body
            and part.depth == 0
            and part.data
            and not part.media_type.startswith(("message/", "image/"))
        ):
            files.append(part.sha256)
    found = tuple(urls)[: settings.max_urls]
    text = max(texts, key=len, default="")
    return Features(text, found, bands(text, found, files))


def _may_point(part: Part) -> bool:
    """Whether its bytes hold what an address begins with; most archives' files do not, and need not be made text."""
    data = part.data[:MAX_TEXT]
    if b"://" in data or b"\0" in data[:200]:  # UTF-16 has NULs
        return True
    lowered = data.lower()
    return any(mark in lowered for mark in _BEGINNINGS)


def find_urls(source: str) -> list[str]:
    """The URLs in text or HTML: as they stand, and behind href, src, action; entities decoded, trailing marks off."""
    found = []
    end = inner = 0
    for at in islice(_places(source), MAX_PLACES):
        inner = inner + 1 if at < end else 0
        if inner <= MAX_INNER and (match := _URL.match(source, at)):
            found.append(match[0])
            end = max(end, match.end())
    if "<" in source and (_ODD_REF.search(source) or "hxxp" in source.lower()):
        found += [value for match in _REF.finditer(source) if _is_url(value := match[1] or match[2] or match[3] or "")]
    return [shown for url in found if (shown := _clean(url))]


def _places(source: str) -> Iterator[int]:
    """Where a URL may begin; finding a plain string is quicker than an expression at each letter."""
    at = -1
    while (at := source.find("://", at + 1)) >= 0:
        start = at
        while start > max(at - 5, 0) and source[start - 1].isalpha():
            start -= 1
        yield start
    lowered = source if "WWW." not in source else source.lower()
    while (at := lowered.find("www.", at + 1)) >= 0:
        if at == 0 or (source[at - 1] not in "@/.-" and not source[at - 1].isalnum()):
            yield at


def _is_url(value: str) -> bool:
    return html.unescape(value).lstrip().lower().startswith(("http", "ftp:", "www.", "//", "hxxp"))


def _clean(url: str) -> str:
    text = html.unescape(url) if "&" in url else url
    if not (text.isascii() and text.isprintable() and " " not in text):
        text = _UNSEEN.sub("", text)
    while text and text[-1] in _TRAIL and not (text[-1] == ")" and text.count("(") >= text.count(")")):
        text = text[:-1]
    if text.lower().startswith("www."):
        text = "http://" + text
    return "http:" + text if text.startswith("//") else text


def host_of(url: str) -> str:
    """The host of a URL in lower case; "" where it has none."""
    try:
        return (urlsplit(url).hostname or "").lower()
    except ValueError:
        return ""


def visible(source: str, *, is_html: bool) -> str:
    """The text that a reader sees: without tags, scripts, styles and comments; entities decoded."""
    if not is_html and "<" not in source:
        return source
    text = _TAG.sub(" ", "".join(_shown(source)))
    return html.unescape(text) if "&" in text else text


def _shown(source: str) -> Iterator[str]:
    """What stands outside scripts, styles, head, title and comments. An end that is not there is not sought twice."""
    lowered = source.lower()
    at, endless = 0, set()
    for match in _HIDDEN.finditer(source):
        end = f"</{match[1].lower()}" if match[1] else "-->"
        if match.start() < at or end in endless:
            continue
        found = lowered.find(end, match.end())
        if found < 0:
            endless.add(end)
            continue
        yield source[at : match.start()]
        at = max(source.find(">", found), found) + 1
    yield source[at:]


def bands(text: str, urls: Iterable[str], files: Iterable[str]) -> tuple[str, ...]:
    """Hash bands: equal in two messages means the same lure, whatever order they came in. Text, files, URL hosts.

    Text: MinHash over shingles of four words, digits and punctuation aside, in BANDS bands. Files: each sha256.
    URLs: the set of host and path of each (a list of hosts alone would be every newsletter's).
    """
    found = [f"t{index}:{band}" for index, band in enumerate(_minhash(text))]
    found += [f"f:{sha256[:16]}" for sha256 in files]
    places = sorted({_place(url) for url in urls} - {""})
    if places:
        found.append(f"u:{hashlib.blake2b(' '.join(places).encode(), digest_size=8).hexdigest()}")
    return tuple(sorted(set(found)))[:MAX_BANDS]


def _place(url: str) -> str:
    if simple := _SIMPLE.match(url):  # nearly every URL there is
        return f"{simple[1].lower()}{(simple[2] or '')[:200]}"
    try:
        split = urlsplit(url)
        host = split.hostname or ""
    except ValueError:
        return ""
    return f"{host.lower()}{unquote(split.path)[:200]}" if host else ""


def _minhash(text: str) -> list[str]:
    """One-permutation MinHash (Li, Owen, Zhang 2012): each shingle falls into one row, where the least stays."""
    words = text[:MAX_TEXT].encode("utf-8", "replace").translate(_LETTERS).split()[:MAX_WORDS]
    if len(words) < MIN_WORDS:
        return []
    shingles = set(map(crc32, map(b" ".join, zip(words, words[1:], words[2:], words[3:], strict=False))))
    falling = sorted(shingles, reverse=True)  # so that the least is the last to be laid in its row
    rows_of = dict(zip(map(_COUNT.__rmod__, falling), falling, strict=True))
    least = [rows_of.get(row, _MASK + 1) for row in range(_COUNT)]
    for row in range(2 * _COUNT - 1, -1, -1):  # an empty row borrows from the next one that is not
        if least[row % _COUNT] > _MASK:
            least[row % _COUNT] = least[(row + 1) % _COUNT]
    rows = [least[at : at + ROWS] for at in range(0, _COUNT, ROWS)]
    return [hashlib.blake2b(repr(row).encode(), digest_size=8).hexdigest() for row in rows]


_MASK: Final = (1 << 32) - 1
_COUNT: Final = BANDS * ROWS
_LETTERS: Final = bytes(
    byte | 0x20 if 65 <= byte <= 90 else byte if byte >= 128 or 97 <= byte <= 122 else 32 for byte in range(256)
)
