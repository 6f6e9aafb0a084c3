"""Options, hooks and the embedded store. Other fixtures live beside the tests that use them."""

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from tests import halves

if TYPE_CHECKING:
    from fireworks import LaunchPad

    from pyrite.launchers.local_store import LocalStore
    from pyrite.store import Store


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add what CI uses: ``--no-skips``, where a skip is a failure, and two runs of all files."""
    halves.add_options(parser)
    parser.addoption(
        "--no-skips", action="store_true", help="fail the run if any test is skipped or xfailed"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Be one of two runs where ``--shared`` says so."""
    if (half := halves.half(config)) is not None:
        config.pluginmanager.register(half)


def _skipped(config: pytest.Config) -> list[str]:
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or not config.getoption("no_skips"):
        return []
    reports = [*reporter.stats.get("skipped", []), *reporter.stats.get("xfailed", [])]
    return [report.nodeid for report in reports]


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Turn skips into a failure under ``--no-skips``."""
    if _skipped(session.config) and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Name the tests that ``--no-skips`` objects to."""
    skipped = _skipped(config)
    if skipped:
        terminalreporter.section("failed: tests that did not run (--no-skips)", red=True)
        for nodeid in skipped:
            terminalreporter.line(nodeid)


@pytest.fixture(scope="session", autouse=True)
def _default_settings() -> Iterator[None]:
    """Run with the default settings, whatever the developer's environment says."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("PYRITE_")]:
            patch.delenv(name)
        yield


@pytest.fixture(scope="session")
def embedded_store(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[LocalStore]":
    """A running embedded store on a free port, one for the whole session."""
    from pyrite.launchers.local_store import LocalStore

    local = LocalStore(tmp_path_factory.mktemp("embedded"))
    local.start()
    yield local
    local.stop()


@pytest.fixture
def database_name() -> str:
    """A fresh database for each test, shared by `store` and `launchpad`."""
    return f"test_{uuid4().hex}"


@pytest.fixture
def store(embedded_store: "LocalStore", database_name: str) -> "Iterator[Store]":
    """A store on a fresh database."""
    from pyrite.store import Store

    with Store.connect(embedded_store.uri, database_name) as fresh:
        yield fresh
        fresh.database.client.drop_database(database_name)


@pytest.fixture
def launchpad(embedded_store: "LocalStore", database_name: str) -> "Iterator[LaunchPad]":
    """A launchpad on the same fresh database."""
    from fireworks import LaunchPad

    from pyrite.counters import initialise

    fresh = LaunchPad(host=embedded_store.uri, name=database_name, uri_mode=True, strm_lvl="ERROR")
    initialise(fresh)
    yield fresh
    fresh.connection.drop_database(database_name)
    fresh.connection.close()
