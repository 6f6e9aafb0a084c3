"""Tiny firetasks for the tests of workers; they write what they do to files.

Every task appends ``start PID`` and ``end PID`` to the file ``spec["diary"]``.
"""

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from fireworks import FiretaskBase, Firework, FWAction, Workflow, explicit_serialize
from pymongo.errors import AutoReconnect, ServerSelectionTimeoutError

from pyrite.errors import EngineError, TooManyFailedLabels
from pyrite.mongo import translated

SEARCH = "dummy"


def note(spec: dict[str, Any], word: str) -> None:
    with Path(spec["diary"]).open("a") as diary:
        diary.write(f"{word} {os.getpid()}\n")


@explicit_serialize
class Note(FiretaskBase):
    required_params: list[str] = []

    def run_task(self, fw_spec: dict[str, Any]) -> None:
        note(fw_spec, "start")
        note(fw_spec, "end")


@explicit_serialize
class Wait(FiretaskBase):
    """Ends when the file ``spec["gate"]`` exists."""

    required_params: list[str] = []

    def run_task(self, fw_spec: dict[str, Any]) -> None:
        note(fw_spec, "start")
        while not Path(fw_spec["gate"]).exists():
            time.sleep(0.05)
        note(fw_spec, "end")


@explicit_serialize
class KillMyWorker(FiretaskBase):
    required_params: list[str] = []

    def run_task(self, fw_spec: dict[str, Any]) -> None:
        note(fw_spec, "start")
        sys.stdout.write("about to run out of memory\n")
        sys.stdout.flush()
        os.kill(os.getpid(), signal.SIGKILL)


@explicit_serialize
class Fail(FiretaskBase):
    """Fails until the file ``spec["gate"]`` exists."""

    required_params: list[str] = []

    def run_task(self, fw_spec: dict[str, Any]) -> None:
        note(fw_spec, "start")
        if not Path(fw_spec["gate"]).exists():
            raise RuntimeError("the gate is shut")


@explicit_serialize
class FailOnPurpose(FiretaskBase):
    """Ends as a task of a search does whose engine is missing, until ``spec["gate"]`` exists."""

    required_params: list[str] = []

    def run_task(self, fw_spec: dict[str, Any]) -> None:
        note(fw_spec, "start")
        if not Path(fw_spec["gate"]).exists():
            raise EngineError("the engine is missing: install it")


@explicit_serialize
class LoseDatabase(FiretaskBase):
    """Ends as a task does whose database is away while FireWorks asks for something."""

    required_params: list[str] = []

    def run_task(self, fw_spec: dict[str, Any]) -> None:
        raise AutoReconnect("connection closed")


@explicit_serialize
class LoseStore(FiretaskBase):
    """Ends as a task of a search does whose database is away."""

    required_params: list[str] = []

    def run_task(self, fw_spec: dict[str, Any]) -> None:
        with translated("nowhere"):
            raise ServerSelectionTimeoutError("nobody answers")


@explicit_serialize
class RefuseLabels(FiretaskBase):
    """Ends as a training does whose labels failed, until its parent has run twice."""

    required_params: list[str] = []

    def run_task(self, fw_spec: dict[str, Any]) -> None:
        note(fw_spec, "start")
        if words(Path(fw_spec["diary"]).parent, "first").count("end") < 2:
            raise TooManyFailedLabels("1 of 1 failed")


@explicit_serialize
class AddAnother(FiretaskBase):
    """Adds one firework, as CheckConvergence adds the next iteration."""

    required_params: list[str] = []

    def run_task(self, fw_spec: dict[str, Any]) -> FWAction:
        note(fw_spec, "start")
        note(fw_spec, "end")
        added = firework(Note, "added", Path(fw_spec["diary"]).parent)
        return FWAction(additions=Workflow([added]))


def firework(
    task: type[FiretaskBase],
    name: str,
    directory: Path,
    parents: list[Firework] | None = None,
    search: str = SEARCH,
) -> Firework:
    """A firework of the search, whose diary is ``directory/name``."""
    spec = {
        "search_id": search,
        "diary": str(directory / name),
        "gate": str(directory / "gate"),
    }
    return Firework([task()], spec=spec, name=name, parents=parents or [])


def diary(directory: Path, name: str) -> list[tuple[str, int]]:
    """What a firework's runs wrote: words and process ids."""
    path = directory / name
    lines = path.read_text().splitlines() if path.exists() else []
    return [(line.split()[0], int(line.split()[1])) for line in lines]


def words(directory: Path, name: str) -> list[str]:
    return [word for word, _ in diary(directory, name)]
