"""What every test may ask for, and the closing list of what could not run and why (in CI: a failure)."""

from __future__ import annotations

import os
import shutil
import socket
from pathlib import Path
from typing import Any

import hypothesis
import pytest

# A machine that is busy with something else is no fault of a test.
hypothesis.settings.register_profile("house", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("house")

pytest_plugins = ("tests.elastic",)

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared" / "data"
os.environ["PATH"] = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real mails, captures and suites that nobody here wrote, where they stand beside the project."""
    if not SHARED.is_dir():
        pytest.skip("../shared/data is not there: real mails and captures were not read")
    return SHARED


@pytest.fixture
def free_port() -> int:
    """A loopback port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def needs(command: str, package: str) -> str:
    """The path of a Debian program that a test needs; a test without it is skipped and listed at the end."""
    found = shutil.which(command)
    if found is None:
        pytest.skip(f"{command} is not there: apt install {package}")
    return found


# With several processes (make test): a file's tests stay together, Elasticsearch is started once, the longest begin.
LONGEST = ("elastic", "tests/journeys/", "tests/soak/", "tests/interop/", "tests/mail/session/test_process.py")


def _group(nodeid: str) -> str:
    file, _, name = nodeid.partition("::")
    elastic = "elastic" in file or "elasticsearch" in name or file == "tests/cert/test_search.py"
    return "elastic" if elastic else file


def _place(item: pytest.Item) -> int:
    group = _group(item.nodeid)
    return next((place for place, begin in enumerate(LONGEST) if group.startswith(begin)), len(LONGEST))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    strays = [one.nodeid for one in items if one.get_closest_marker("elastic") and _group(one.nodeid) != "elastic"]
    assert not strays, f"these would start an Elasticsearch of their own: {strays}"
    if hasattr(config, "workerinput"):
        items.sort(key=_place)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    from xdist.scheduler import LoadFileScheduling

    class Groups(LoadFileScheduling):  # its own loadgroup needs node ids that pytest 9.2 does not let it write
        def _split_scope(self, nodeid: str) -> str:
            return _group(nodeid)

    return Groups(config, log)


def _reasons(terminalreporter: pytest.TerminalReporter) -> list[str]:
    skipped = terminalreporter.stats.get("skipped", [])
    return sorted(
        {f"{one.nodeid}: {one.longrepr[2] if isinstance(one.longrepr, tuple) else one.longrepr}" for one in skipped}
    )


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reasons = _reasons(terminalreporter)
    terminalreporter.section("what could not run here")
    for line in reasons or ["nothing: every test that was chosen ran"]:
        terminalreporter.write_line(line)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") and exitstatus == 0 and reporter is not None and _reasons(reporter):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
