"""`hudhud config`, `hudhud audit`: is the configuration right, where is each setting from, is the record whole."""

from __future__ import annotations

from json import dumps
from pathlib import Path

import msgspec
from cyclopts import App

from hudhud import chain, config, release
from hudhud.cli import Exit, Problem, out, out_json, table

app = App(name="config", help="Check hudhud.toml; show every setting and where it came from.")
audit = App(name="audit", help="Verify the audit chains: one changed byte is found.")


@app.command
def check(path: Path = Path(config.DEFAULT)) -> int:
    """Read hudhud.toml whole; the first mistake is named with file, line, key and what was expected."""
    found = config.load(path, files=True)
    set_here = sum(1 for _, _, origin in found.effective() if origin != "default")
    out(f"{path}: right; {set_here} settings stand in the file, the others are defaults")
    return Exit.DONE


@app.command
def show(
    path: Path | None = None, /, *, config: Path = Path(config.DEFAULT), json: bool = False, changed: bool = False
) -> int:
    """Print the effective settings, each with the place it came from.

    Parameters
    ----------
    path
        The file to read; the same as --config.
    config
        The file to read.
    json
        One JSON object a line.
    changed
        Only what the file sets.
    """
    rows = [row for row in _load(path or config).effective() if not changed or row[2] != "default"]
    if json:
        for key, value, origin in rows:
            out_json({"key": key, "value": value, "origin": origin})
    else:
        shown = [(key, _shown(value), origin) for key, value, origin in rows]
        table(str(path or config), ("setting", "value", "from"), shown)
    return Exit.DONE


def _shown(value: object) -> str:
    """As hudhud.toml would say it, texts without quotation marks."""
    return value if isinstance(value, str) else dumps(msgspec.to_builtins(value), ensure_ascii=False)


def _load(path: Path) -> config.Config:
    return config.load(path)


@audit.command
def verify(paths: list[Path] | None = None, /, *, config: Path = Path(config.DEFAULT)) -> int:
    """Verify audit chains; without PATHS, all of this node's, and what each witnessed of the others.

    Parameters
    ----------
    paths
        Chain files, each judged alone.
    config
        Where the node's data and key are found.
    """
    settings = _load(config).settings
    folder = settings.path("audit")
    public = release.SigningKey.load(settings.path("keys", "node.key")).public
    alone = [(path.name, chain.verify(path, public)) for path in paths or ()]
    found = alone or list(chain.verify_all(folder, [public]).items())
    if not found:
        raise Problem(f"there is no audit chain in {folder}", Exit.NO)
    for name, problems in found:
        out(f"{name}: {'whole' if not problems else f'{len(problems)} problems'}")
        for problem in problems:
            out(f"  record {problem.line}: {problem.what}")
    return Exit.NO if any(problems for _, problems in found) else Exit.DONE
