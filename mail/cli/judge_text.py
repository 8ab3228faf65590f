"""The judgement of one message in words, for a terminal. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hudhud.cli import visible

MAX_SHOWN = 12  # parts, URLs and facts that are listed


def lines(path: str, answer: Mapping[str, Any]) -> Iterator[str]:
    """What happens to whom, and why, then what is in the message."""
    yield f"== {visible(path)}"
    if "error" in answer:
        yield f"   error: {answer['error']['name']}: {visible(answer['error']['detail'])}"
        return
    message = answer["message"]
    yield f"   {message['size']} octets, sha256 {message['sha256'][:16]}…, judged in {answer['took_ms']:.1f} ms"
    yield f"   policy {answer['policy']}, rules {answer['ruleset'][:16]}"
    for verdict in answer["verdicts"]:
        yield f"   {verdict['disposition'].upper():7} {visible(verdict['recipient'])}"
        if verdict["reply"]:
            where = "by notice" if verdict.get("by_notice") else "RCPT"
            yield f"           {where}: {_reply(verdict['reply'])}"
    yield f"   DATA:   {_reply(answer['data_reply'])}"
    if answer["findings"]:
        yield "   Findings:"
    for finding in answer["findings"]:
        whom = "all" if finding["recipients"] is None else ", ".join(map(visible, finding["recipients"]))
        yield f"     {finding['disposition']:6} {finding['rule']} v{finding['version']} {finding['reason']} ({whom})"
        for name, value in list(finding["facts"].items())[:MAX_SHOWN]:
            yield f"            {name}: {_value(value)}"
    yield from _parts(answer["parts"])
    for url in answer["urls"][:MAX_SHOWN]:
        yield f"   URL {visible(url)[:160]}"
    if len(answer["urls"]) > MAX_SHOWN:
        yield f"   … and {len(answer['urls']) - MAX_SHOWN} more URLs"


def _parts(parts: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for part in parts[:MAX_SHOWN]:
        shown = (
            f"{part['path']:8} {part['media_type'] or '-'} → {part['detected_type'] or 'empty'}, {part['size']} octets"
        )
        name = f", {visible(part['name'])}" if part["name"] else ""
        how = "" if "strict" in part["readings"] else f" [{'+'.join(part['readings'])} only]"
        yield f"   part {shown}{name}{how}"
    if len(parts) > MAX_SHOWN:
        yield f"   … and {len(parts) - MAX_SHOWN} more parts"


def _reply(reply: Mapping[str, Any]) -> str:
    return f"{reply['code']} {reply['enhanced']} {reply['text']}"


def _value(value: object) -> str:
    if isinstance(value, Mapping):
        return visible(str(value.get("en", dict(value))))
    if isinstance(value, list | tuple):
        return ", ".join(visible(str(one)) for one in value)
    return visible(str(value))
