"""Whole searches as users run them: real commands in processes of their own, and real kills."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from fireworks import LaunchPad
from pymongo.errors import AutoReconnect

from pyrite.launchers import cli
from pyrite.launchers.bookkeeping import FireworkView, Snapshot, snapshot
from pyrite.launchers.endings import SIGNALS
from pyrite.launchers.local_store import LAUNCHPAD_FILE, LocalStore
from pyrite.launchers.registry import registered

SECONDS = 240.0
BIN = Path(sys.executable).parent

# glibc's settings and numbers of threads are the commands' own business. Which kernels a linear
# algebra library takes is not: tests compare with what this process calculates, to the last digit.
ENVIRONMENT = {
    key: value
    for key, value in os.environ.items()
    if not key.startswith(("OMP_", "MALLOC_", "PYRITE_")) and not key.endswith("_NUM_THREADS")
}


def call(
    command: str, *arguments: object, cwd: Path, code: int = 0, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run an installed command to its end; ``code`` is how it must end."""
    done = subprocess.run(
        [str(BIN / command), *map(str, arguments)],
        cwd=cwd,
        env={**ENVIRONMENT, **environment},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done


def call_here(*arguments: object) -> int:
    """Call ``pyrite`` in this process, where a test has replaced something; its exit code."""
    kept = {number: signal.getsignal(number) for number in SIGNALS}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["pyrite", *map(str, arguments)])
        try:
            with pytest.raises(SystemExit) as ended:
                cli.main()
        finally:
            for number, handler in kept.items():
                signal.signal(number, handler)
    code = ended.value.code or 0
    assert isinstance(code, int)
    return code


class Command:
    """An installed command that is under way; what it says goes to a file."""

    def __init__(self, command: str, *arguments: object, cwd: Path, **environment: str) -> None:
        self.log = cwd / f"{command}-{time.monotonic_ns()}.log"
        # A test run in the background ignores SIGINT, and its children would do so too.
        kept = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            with self.log.open("wb") as output:
                self.process = subprocess.Popen(
                    [str(BIN / command), *map(str, arguments)],
                    cwd=cwd,
                    env={**ENVIRONMENT, **environment},
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                )
        finally:
            signal.signal(signal.SIGINT, kept)

    @property
    def said(self) -> str:
        """What it has said so far."""
        return self.log.read_text()

    def end(self, code: int = 0) -> str:
        """Wait for its end, which must be ``code``; returns what it said."""
        try:
            ended = self.process.wait(SECONDS)
        finally:
            self.process.kill()
            self.process.wait()
        assert ended == code, self.said
        return self.said


def wait[T](condition: Callable[[], T], running: Command | None = None) -> T:
    """Poll until something is true; fails when the command that should bring it about ends."""
    deadline = time.monotonic() + SECONDS
    while not (found := condition()):
        said = running.said if running else ""
        assert time.monotonic() < deadline, f"waited in vain: {said}"
        assert running is None or running.process.poll() is None, f"it ended before: {said}"
        time.sleep(0.02)
    return found


@contextmanager
def launchpad_of(home: Path, running: Command | None = None) -> Iterator[LaunchPad]:
    """The launchpad of a store that somebody else starts."""
    wait((home / LAUNCHPAD_FILE).exists, running)
    launchpad = LaunchPad.from_file(str(home / LAUNCHPAD_FILE))
    try:
        yield launchpad
    finally:
        launchpad.connection.close()


@dataclass(frozen=True)
class Caught:
    """A task that runs at this moment, and the process that runs it."""

    firework: FireworkView
    pid: int


def under_way(seen: Snapshot, names: tuple[str, ...]) -> list[FireworkView]:
    """The tasks of these names whose checkout is over and whose end is not being written."""
    return [
        one
        for one in seen.in_state("RUNNING")
        if one.name.startswith(names)
        and one.launch is not None
        and one.launch.state == seen.state_in_workflow(one.fw_id) == "RUNNING"
    ]


def pending(pid: int, number: int) -> bool:
    """Whether a process that is stopped has been sent a signal (of Linux)."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    mask = next(one.split()[1] for one in lines if one.startswith("ShdPnd"))
    return bool(int(mask, 16) >> (number - 1) & 1)


def catch(
    home: Path, search: str, names: tuple[str, ...], running: Command, settle: float = 0.3
) -> Caught:
    """Wait until a firework of one of these names is well under way; its worker is stopped.

    One that is over before it is seen is missed: ``names`` go on with those after short ones.

    Parameters
    ----------
    settle : seconds that the task may run before its worker is stopped
    """
    with launchpad_of(home, running) as launchpad:

        def at_work() -> list[FireworkView]:
            return under_way(snapshot(launchpad, search), names)

        def attempt() -> Caught | None:
            try:
                candidates = at_work()
            except AutoReconnect:  # a command that has ended has ended its store; `wait` tells so
                return None
            for firework in candidates:
                assert firework.launch is not None
                pids = {one.name: one.pid for one in registered(home, search)}
                time.sleep(settle)
                pid = pids[firework.launch.worker]
                os.kill(pid, signal.SIGSTOP)
                time.sleep(0.05)  # what it had sent is written
                if firework.fw_id in {one.fw_id for one in at_work()}:
                    return Caught(firework, pid)
                os.kill(pid, signal.SIGCONT)
            return None

        return wait(attempt, running)


def server(home: Path) -> int:
    """Process id of the embedded store."""
    pid = LocalStore(home).status().pid
    assert pid is not None
    return pid


def anybody_left(home: Path) -> list[str]:
    """Command lines of processes that belong to a home."""
    found = []
    for process in psutil.process_iter(["pid", "cmdline", "status"]):
        line = " ".join(process.info["cmdline"] or [])
        if str(home) in line and process.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(line)
    return found
