"""Options and hooks of the whole test suite. Fixtures live beside the tests that use them."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--no-skips``, which CI uses: there, a test that does not run is a failure."""
    parser.addoption(
        "--no-skips", action="store_true", help="fail the run if any test is skipped or xfailed"
    )


def _not_run(config: pytest.Config) -> list[str]:
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or not config.getoption("no_skips"):
        return []
    reports = [*reporter.stats.get("skipped", []), *reporter.stats.get("xfailed", [])]
    return [report.nodeid for report in reports]


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Turn skips into a failure under ``--no-skips``."""
    if _not_run(session.config) and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Name the tests that ``--no-skips`` objects to."""
    not_run = _not_run(config)
    if not_run:
        terminalreporter.section("failed: tests that did not run (--no-skips)", red=True)
        for nodeid in not_run:
            terminalreporter.line(nodeid)
