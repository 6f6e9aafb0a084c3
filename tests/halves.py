"""Two runs of pytest that are one: each takes the next file that is not taken, until time is up.

The first run takes from the front of the list, the second from its end. So they end together,
however fast the machine is; where it is too slow, what lies between was not run, and is named.
"""

import math
import os
import time
from pathlib import Path

import pytest

FOLDERS = ("tests/unit", "tests/integration", "tests/workflow")
"""In which order the first run takes the rest."""
STOP = "stop"
"""A file of this name among the marks stops both runs after their present tests."""
LAST = (
    "tests/integration/test_abinit.py",
    "tests/integration/test_cp2k.py",
    "tests/workflow/test_slurm.py",
    "tests/workflow/test_vasp_search.py",
)
"""Between the two: what a slow machine leaves out first."""
SECOND = (
    "tests/workflow/test_larger_cells.py",
    "tests/workflow/test_password.py",
    "tests/workflow/test_work.py",
    "tests/workflow/test_refusals.py",
    "tests/workflow/test_search.py",
    "tests/unit/test_relaxation_against_ase.py",
    "tests/unit/test_gpaw_program.py",
    "tests/unit/test_gpaw.py",
)
"""What the second run begins with, from the end: long, and without a clock to keep."""


def add_options(parser: pytest.Parser) -> None:
    """Add what tells a run that it is one of two."""
    group = parser.getgroup("halves", "two runs share the files")
    group.addoption("--shared", type=Path, help="a directory in which the runs mark their files")
    group.addoption("--second", action="store_true", help="take files from the end of the list")
    group.addoption("--until", type=float, help="begin no test after this time (s since 1970)")


def half(config: pytest.Config) -> "Half | None":
    """What the command line asks for.

    Raises
    ------
    pytest.UsageError
        An option of halves without ``--shared``.
    """
    shared, second = config.getoption("shared"), config.getoption("second")
    if shared is not None:
        return Half(shared, second=second, until=config.getoption("until"))
    if second or config.getoption("until") is not None:
        raise pytest.UsageError("--second and --until are for two runs: name their --shared too")
    return None


class Half:
    """One of two runs: a plugin of pytest."""

    def __init__(self, shared: Path, *, second: bool, until: float | None) -> None:
        self.shared, self.second, self.until = shared, second, until or math.inf
        self.mine: set[str] = set()
        self.not_run: list[str] = []

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Sort the files, and in this run alone whose turn is first."""
        items.sort(key=lambda item: _place(_file(item)))
        if self.second:
            files = list(dict.fromkeys(map(_file, items)))
            items.sort(key=lambda item: -files.index(_file(item)))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> bool | None:
        """Leave out a test whose file is the other's, or that comes too late."""
        file = _file(item)
        mark = self.shared / (file.replace("/", "+") + ".taken")
        if file not in self.mine and mark.exists():
            return True
        if time.time() > self.until or (self.shared / STOP).exists():
            self.not_run.append(item.nodeid)
            return True
        if file not in self.mine:
            try:
                os.close(os.open(mark, os.O_CREAT | os.O_EXCL))
            except FileExistsError:
                return True
            self.mine.add(file)
        return None

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Name what was not run: in both runs, if neither began the file."""
        for test in self.not_run:
            terminalreporter.line(f"NOT RUN: {test}")


def _file(item: pytest.Item) -> str:
    return item.nodeid.partition("::")[0]


def _place(file: str) -> tuple[int, int]:
    if file in LAST:
        return 1, LAST.index(file)
    if file in SECOND:
        return 2, SECOND.index(file)
    return 0, next((k for k, folder in enumerate(FOLDERS) if file.startswith(folder)), 0)
