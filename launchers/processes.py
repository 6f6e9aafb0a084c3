"""What the embedded store is made of: a process, a port, a few small files."""

import os
import shutil
import socket
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from pyrite.errors import StoreError
from pyrite.mongo import DATABASE_NAME

HOST = "127.0.0.1"
STOP_TIMEOUT = 20.0
"""Seconds that a process may take to end when asked."""

_REMEDY_NOT_INSTALLED = (
    'install it with pip install "pyrite-csp[embedded]", '
    "or set PYRITE_DATABASE_URI to a MongoDB server"
)

children: list[subprocess.Popen[bytes]] = []
"""Servers that this process started; they outlive it, but while it lives it must reap them."""


def uri_of(port: int) -> str:
    """MongoDB URI of the embedded store on a port."""
    return f"mongodb://{HOST}:{port}/{DATABASE_NAME}?directConnection=true"


@dataclass(frozen=True)
class StoreStatus:
    """Whether the embedded store of a home runs, and where.

    Attributes
    ----------
    running
        whether its process lives
    answering
        whether it answers
    pid
        process id, None if it does not run
    port
        of the running server or, if there is none, of the last one
    """

    running: bool
    answering: bool
    pid: int | None
    port: int | None

    @property
    def uri(self) -> str | None:
        """MongoDB URI, None before the first start."""
        return None if self.port is None else uri_of(self.port)


MARK = "PYRITE_WORKER"
"""Environment variable by which the programs of a worker are found, whoever their parent is."""


def kill_programs_of(mark: str) -> None:
    """Kill every process of this user that a worker started, and that it started in turn.

    custodian gives VASP a session of its own, so that signals to a worker's group miss it.
    """
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.environ().get(MARK) == mark and process.pid != os.getpid():
                process.kill()


def end(process: psutil.Process | subprocess.Popen[bytes]) -> None:
    """Ask a process to end, and make it after a while."""
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT)
    except (psutil.TimeoutExpired, subprocess.TimeoutExpired):
        process.kill()
        process.wait(STOP_TIMEOUT)


def program(name: str) -> str:
    """Find the server beside this Python or on the PATH."""
    beside = str(Path(sys.executable).parent)
    found = shutil.which(name, path=os.pathsep.join([beside, os.environ.get("PATH", "")]))
    if found is None:
        raise StoreError(f"the embedded store ({name}) is not installed; {_REMEDY_NOT_INSTALLED}")
    return found


def port_is_free(port: int) -> bool:
    """Whether a server could listen on a port of this machine now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """Return a port that nobody uses at the moment."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def write_atomically(path: Path, text: str) -> None:
    """Write a small file so that a reader sees the old text or the new one."""
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.write_text(text, encoding="utf-8")
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
