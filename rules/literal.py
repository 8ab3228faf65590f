"""The longest text that every match of a regular expression must contain, for the index. Pure."""

from __future__ import annotations

from typing import Final

_CLASSES: Final = frozenset("dDwWsSbBAzntrfv")


def needed(pattern: str) -> str:
    """Lower-case text, or "" where nothing certain can be said: alternatives, flags, rare escapes.

    Careful rather than clever: what is missed costs time, what is wrong would cost a detection.
    """
    if "(?" in pattern:
        return ""
    runs, run, at = [""], "", 0
    while at < len(pattern):
        char = pattern[at]
        at += 1
        literal = ""
        if char == "|":
            return ""
        if char == "\\":
            char = pattern[at : at + 1]
            at += 1
            if not char or (char.isalnum() and char not in _CLASSES):
                return ""
            literal = "" if char.isalnum() else char
        elif char in "[(":
            end = _past(pattern, at - 1)
            if end < 0:
                return ""
            at = end
        elif char in "?*{":
            run = run[:-1]  # the last character may be absent
            at = pattern.find("}", at) + 1 if char == "{" else at
            if not at:
                return ""
        elif char not in ".^$+)]}":
            literal = char
        if literal:
            run += literal
        else:
            runs.append(run)
            run = ""
    return max([*runs, run], key=len).lower()


def _past(pattern: str, at: int) -> int:
    """The place after the class or group that opens at `at`; -1 where it does not close."""
    depth = 0
    while at < len(pattern):
        char = pattern[at]
        at += 2 if char == "\\" else 1
        if char == "[":
            at = _past_class(pattern, at)
            if at < 0:
                return -1
        elif char == "(":
            depth += 1
        elif char == ")":
            depth -= 1
        if depth == 0:
            return at
    return -1


def _past_class(pattern: str, at: int) -> int:
    """The place after the class whose first character is at `at`."""
    at += pattern[at : at + 1] == "^"
    at += pattern[at : at + 1] == "]"  # a bracket that comes first is one of the class
    while at < len(pattern):
        char = pattern[at]
        if char == "[" and pattern[at + 1 : at + 2] == ":":
            at = pattern.find(":]", at) + 2
            if at < 2:
                return -1
            continue
        at += 2 if char == "\\" else 1
        if char == "]":
            return at
    return -1
