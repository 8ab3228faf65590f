"""The one door to RE2: expressions of rules take time linear in the text, for events come from outside."""

from __future__ import annotations

import re
from importlib import import_module
from typing import Any, Final

from rules.predicate import Regex

_re2: Final[Any] = import_module("re2")  # untyped; it comes with pySigma, which checks expressions with it too


class Engine:
    """Compiles; `error` is what a bad expression raises. pySigma takes it as its own engine."""

    def __init__(self) -> None:
        self.error: type[Exception] = _re2.error
        self._options = _re2.Options()
        self._options.log_errors = False  # the caller names file and line

    def compile(self, pattern: str, flags: int = 0) -> Regex:
        """`flags`: IGNORECASE, MULTILINE and DOTALL of Python's re."""
        letters = "".join(letter for flag, letter in ((re.I, "i"), (re.M, "m"), (re.S, "s")) if flags & flag)
        compiled: Regex = _re2.compile(f"(?{letters}){pattern}" if letters else pattern, self._options)
        return compiled


ENGINE: Final = Engine()
