"""A thousand YARA rules that fit nothing: six in ten texts, two in ten bytes, two in ten patterns. Deterministic.

Shapes and proportions follow public rule sets; the metas are the house's, so that they are compiled and looked up as
any rule of ours.
"""

from __future__ import annotations

import random
import string
from collections.abc import Iterator

COUNT = 1000
SEED = 11
PACK = "mail/synthetic.yar"

_LETTERS = string.ascii_letters + string.digits
_PATTERNS = (
    r"/{word}[a-z0-9]{{4,12}}\.(php|exe|js)\?id=[0-9]{{1,6}}/ nocase",
    r"/https?:\/\/[a-z0-9.\-]{{3,40}}\/{word}\/[a-z]{{3,8}}\.html/",
    r"/{word}\s*=\s*unescape\([\"'][^\"']{{4,40}}/",
    r"/(invoice|report)_{word}[0-9]{{2,8}}\.(zip|scr|iso|lnk)/ nocase",
)


def rules(count: int = COUNT, seed: int = SEED) -> bytes:
    """One pack of `count` rules, the same for the same seed."""
    dice = random.Random(seed)  # noqa: S311 - rules that are the same each time, no secret
    return "\n".join(_rule(dice, number) for number in range(count)).encode()


def _rule(dice: random.Random, number: int) -> str:
    kind = number % 5
    strings, condition = _texts(dice) if kind < 3 else _bytes(dice) if kind == 3 else _pattern(dice)
    lines = [
        f"rule synthetic_{number:04d}",
        "{",
        "    meta:",
        f'        id = "HB-{number:04d}"',
        '        version = "1"',
        f'        title_en = "Synthetic rule {number}"',
        f'        title_ar = "قاعدة اصطناعية {number}"',
        '        disposition = "hold"',
        '        threat = "executable"',
        "    strings:",
        *(f"        {line}" for line in strings),
        "    condition:",
        f"        {condition}",
        "}",
    ]
    return "\n".join(lines) + "\n"


def _word(dice: random.Random, length: int) -> str:
    return "".join(dice.choices(_LETTERS, k=length))


def _texts(dice: random.Random) -> tuple[list[str], str]:
    count = dice.randint(2, 6)
    modifiers = (" ascii", " nocase", " ascii wide", " fullword", "")
    lines = [f'$s{n} = "{_word(dice, dice.randint(6, 24))}"{dice.choice(modifiers)}' for n in range(count)]
    return lines, f"{min(count, dice.randint(1, 3))} of them"


def _bytes(dice: random.Random) -> tuple[list[str], str]:
    lines = [f"$h{n} = {{ {' '.join(_hex(dice))} }}" for n in range(3)]
    lines.append(f'$w = "{_word(dice, 10)}" wide')
    return lines, "(uint16(0) == 0x5A4D and 1 of ($h*)) or ($w and any of ($h*))"


def _hex(dice: random.Random) -> Iterator[str]:
    length, gap = dice.randint(8, 20), dice.randint(4, 6)
    for place in range(length):
        yield "??" if place == gap else f"{dice.randrange(256):02X}"


def _pattern(dice: random.Random) -> tuple[list[str], str]:
    pattern = dice.choice(_PATTERNS).format(word=_word(dice, 5))
    return [f"$r0 = {pattern}", f'$s1 = "{_word(dice, 8)}" nocase'], "any of them"
