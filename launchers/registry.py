"""Who works here: one small file per worker process under ``home/workers``.

FireWorks knows the name that a worker ran a task under, but not whether that
worker still lives. These files say which process it was; a process is known by
its host, its id and its start time, so that a reused id is not mistaken for it. Times
count from the start of the machine: those of the day change for all processes at once when
the clock is set, and healthy workers would be taken for dead.
"""

import json
import os
import socket
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    import psutil

DIRECTORY = "workers"
ANY_SEARCH = "*"
_TOLERANCE = 2.0  # seconds; the system tells the time of its start in whole ones


@dataclass(frozen=True)
class WorkerRecord:
    """One worker process, of one search or of `ANY_SEARCH`.

    ``started`` is in seconds since the machine was.
    """

    name: str
    search: str
    host: str
    pid: int
    started: float

    @classmethod
    def of_this_process(cls, name: str, search: str) -> Self:
        """The record of the calling process."""
        import psutil

        pid = os.getpid()
        return cls(name, search, socket.gethostname(), pid, _started(psutil.Process(pid)))

    def is_alive(self) -> bool | None:
        """Whether the process still runs; None for a process of another host."""
        import psutil

        if self.host != socket.gethostname():
            return None
        try:
            process = psutil.Process(self.pid)
            same = abs(_started(process) - self.started) < _TOLERANCE
            return bool(same and process.status() != psutil.STATUS_ZOMBIE)
        except psutil.NoSuchProcess:
            return False


def _started(process: "psutil.Process") -> float:
    import psutil

    # Both follow the clock, and their difference does not. In this order: psutil 6 keeps the
    # time of the machine's start from the last question.
    booted = psutil.boot_time()
    return float(process.create_time() - booted)


def register(home: Path, record: WorkerRecord) -> None:
    """Write a worker down; to be done before it takes any task."""
    path = _path(home, record.name)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".tmp")
    unfinished.write_text(json.dumps(asdict(record)))
    unfinished.replace(path)


def registered(home: Path, search: str) -> Iterator[WorkerRecord]:
    """Workers of a search, and of all, that this home ever had, dead or alive."""
    for path in sorted((home / DIRECTORY).glob("*.json")):
        try:
            record = WorkerRecord(**json.loads(path.read_text()))
        except (OSError, ValueError, TypeError):  # removed meanwhile, or not ours
            continue
        if record.search in {search, ANY_SEARCH}:
            yield record


def forget_dead(home: Path, search: str) -> None:
    """Remove the records of dead workers, once nothing of theirs can be left to heal."""
    for record in registered(home, search):
        if record.search == search and record.is_alive() is False:
            forget(home, record.name)


def forget(home: Path, name: str) -> None:
    """Remove the record of a worker that leaves nothing."""
    _path(home, name).unlink(missing_ok=True)


def _path(home: Path, name: str) -> Path:
    return home / DIRECTORY / f"{name}.json"
