"""Programs that are killed start again as installed ones do: with compiled bytecode, whatever the environment says."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

NAMES = ("PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX")


@contextlib.asynccontextmanager
async def compiled(folder: Path) -> AsyncIterator[None]:
    """Bytecode of what is started in the block lies in `folder`."""
    before = {name: os.environ.pop(name, None) for name in NAMES}
    os.environ["PYTHONPYCACHEPREFIX"] = str(folder / "bytecode")
    try:
        yield
    finally:
        del os.environ["PYTHONPYCACHEPREFIX"]
        os.environ.update({name: value for name, value in before.items() if value is not None})
