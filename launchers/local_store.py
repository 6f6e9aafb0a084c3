"""The embedded store: SecantusDB as a process of its own, never imported.

Everything lies under ``HOME/store``: the data, the log, a lock that lets only
one process start or stop the server, and ``server.json``, which remembers port
and process. Whether the server runs is never taken from that file alone: a
process counts only if its command line names our data directory.

``HOME/my_launchpad.yaml`` and ``HOME/my_fworker.yaml`` let FireWorks' own
commands (lpad, rlaunch) work on the same database.
"""

import errno
import json
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
from filelock import FileLock, Timeout

from pyrite.errors import StoreError
from pyrite.launchers.processes import (
    HOST,
    StoreStatus,
    children,
    end,
    free_port,
    port_is_free,
    program,
    uri_of,
    write_atomically,
)
from pyrite.mongo import (
    DATABASE_NAME,
    DURABLE,
    TIMEOUT,
    database_name_of,
    server_pid,
    server_works,
)
from pyrite.settings import Settings, settings
from pyrite.store import Store

if TYPE_CHECKING:
    from fireworks import LaunchPad

LAUNCHPAD_FILE = "my_launchpad.yaml"
FWORKER_FILE = "my_fworker.yaml"
MINIMUM_FREE = 100 * 10**6
"""Bytes that must be free on the disk before a server starts."""
RESERVE = 20 * 10**6
"""Bytes that must be free while it runs: after a full disk it answers nothing until restarted."""


class _PortInUse(StoreError):
    """Another program listens on the port."""


class LocalStore:
    """The embedded store of one home directory.

    Parameters
    ----------
    home
        directory that holds it; made at the first start
    """

    def __init__(self, home: Path) -> None:
        self.home = home.expanduser().resolve()
        self.directory = self.home / "store"
        self.data = self.directory / "data"
        self.log = self.directory / "server.log"
        self._record = self.directory / "server.json"

    @property
    def uri(self) -> str:
        """MongoDB URI of the server that was started last."""
        uri = self.status().uri
        if uri is None:
            raise StoreError(
                f"no store was ever started in {self.home}; "
                f"start one with 'pyrite store start --home {self.home}'"
            )
        return uri

    def status(self) -> StoreStatus:
        """Look for the server."""
        server = self._find_server()
        if server is None:
            return StoreStatus(False, False, None, self._remembered().get("port"))
        pid, port = server
        uri = uri_of(port)
        answering = server_pid(uri, timeout=1.0) == pid and server_works(uri, timeout=1.0)
        return StoreStatus(True, answering, pid, port)

    def start(self, port: int | None = None) -> StoreStatus:
        """Start the server unless it runs, and wait until it answers.

        Parameters
        ----------
        port
            default: `Settings.store_port`, else the last one, else a free one

        Raises
        ------
        StoreError
            It cannot run; nothing is left behind.
        """
        machine = settings()
        wanted = port or machine.store_port
        made = [path for path in (self.home, *self.home.parents) if not path.exists()]
        try:
            with self._locked():
                pid, port = self._attach(machine, port) or self._launch(machine, wanted)
                self._remember(pid, port)
                self._write_fireworks_files(port)
        except BaseException:
            for path in made:
                with suppress(OSError):
                    path.rmdir()  # succeeds only where nothing was left
            raise
        return StoreStatus(True, True, pid, port)

    def stop(self) -> bool:
        """Stop the server; return whether it ran."""
        if not self.directory.is_dir():
            return False
        with self._locked():
            server = self._find_server()
            if server is None:
                return False
            self._end_server(server[0])
            with suppress(OSError):  # a full disk
                self._remember(None, server[1])
        return True

    # -- finding -------------------------------------------------------------------------

    def _find_server(self) -> tuple[int, int] | None:
        """Return process id and port of our server if it lives."""
        for child in children:
            child.poll()
        recorded = self._remembered().get("pid")
        if recorded is not None:
            with suppress(psutil.Error):
                port = self._port_served_by(psutil.Process(recorded).cmdline())
                if port is not None:
                    return recorded, port
        for process in psutil.process_iter(["cmdline"]):
            port = self._port_served_by(process.info["cmdline"] or [])
            if port is not None:
                return process.pid, port
        return None

    def _port_served_by(self, command: list[str]) -> int | None:
        """Return the port in a command line that names our data directory."""
        options = dict(pairwise(command))
        if options.get("--storage-path") != str(self.data):
            return None
        return int(options["--port"])

    def _remembered(self) -> dict[str, Any]:
        with suppress(OSError, ValueError):
            record = json.loads(self._record.read_text(encoding="utf-8"))
            if isinstance(record, dict):
                return record
        return {}

    def _remember(self, pid: int | None, port: int) -> None:
        write_atomically(self._record, json.dumps({"pid": pid, "port": port}) + "\n")

    def _end_server(self, pid: int) -> None:
        try:
            end(psutil.Process(pid))
        except psutil.NoSuchProcess:
            pass
        except psutil.AccessDenied as error:
            raise StoreError(
                f"the store of {self.home} (process {pid}) belongs to another user; "
                "ask them to stop it, or choose another --home"
            ) from error

    # -- starting ------------------------------------------------------------------------

    def _attach(self, machine: Settings, wanted: int | None) -> tuple[int, int] | None:
        """Wait for the server that runs already."""
        server = self._find_server()
        if server is None:
            return None
        if wanted not in {None, server[1]}:
            raise StoreError(
                f"the store of {self.home} runs on port {server[1]}, not {wanted}; "
                f"stop it first with 'pyrite store stop --home {self.home}', "
                "or leave the port out"
            )
        begin = self.log.stat().st_size if self.log.exists() else 0
        timeout = machine.store_start_timeout
        self._await(*server, timeout, lambda: self._find_server() is not None, begin)
        if not server_works(uri_of(server[1])):  # its disk was full: it must be restarted
            self._end_server(server[0])
            return None
        return server

    def _launch(self, machine: Settings, wanted: int | None) -> tuple[int, int]:
        """Start a server on the wanted port, else the last one, else a free one."""
        fresh = not self.data.exists()
        try:
            if wanted is not None:
                return self._launch_on(machine, wanted)
            last = self._remembered().get("port")
            if last is not None:
                with suppress(_PortInUse):
                    return self._launch_on(machine, last)
            return self._launch_on(machine, free_port())
        except BaseException:
            if fresh:
                shutil.rmtree(self.directory, ignore_errors=True)
            raise

    def _launch_on(self, machine: Settings, port: int) -> tuple[int, int]:
        self.require_space(MINIMUM_FREE)
        if not port_is_free(port):
            raise self._port_in_use(port)
        # Without a file of its own the server would read one from the user's directories.
        configuration = self.directory / "secantusd.toml"
        command = [
            *(program(machine.store_command), "--config", str(configuration)),
            *("--host", HOST, "--port", str(port)),
            *("--storage-path", str(self.data), "--standalone"),
            *("--cache-size", machine.store_cache_size, "--sync-on-commit"),
        ]
        configuration.touch()
        with self.log.open("ab") as log:
            begin = log.tell()
            process = subprocess.Popen(
                command,
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # the terminal's Ctrl-C is not for the server
            )
        children.append(process)
        try:
            self._remember(process.pid, port)
            timeout = machine.store_start_timeout
            self._await(process.pid, port, timeout, lambda: process.poll() is None, begin)
        except BaseException:
            end(process)
            self._remember(None, port)
            raise
        return process.pid, port

    def _await(
        self, pid: int, port: int, timeout: float, lives: Callable[[], bool], begin: int
    ) -> None:
        """Wait until the server answers, and be sure that it is ours.

        `begin` is where in the log it began to write.
        """
        deadline = time.monotonic() + timeout
        while server_pid(uri_of(port), timeout=0.5) != pid:
            if not lives():
                raise self._died(port, begin)
            if time.monotonic() > deadline:
                raise StoreError(
                    f"the store of {self.home} (process {pid}, port {port}) has not answered for "
                    f"{timeout:.0f} s; look into {self.log}, or stop it with "
                    f"'pyrite store stop --home {self.home}' and try again"
                )
            time.sleep(0.05)

    def _died(self, port: int, begin: int) -> StoreError:
        """Say why the server ended, from what it logged after position `begin`."""
        text = ""
        with suppress(FileNotFoundError), self.log.open("rb") as log:
            log.seek(begin)
            text = log.read().decode(errors="replace").strip()
        if "Address already in use" in text:
            return self._port_in_use(port)
        if "No space left on device" in text:
            return self._disk_full()
        if "Device or resource busy" in text:
            return StoreError(
                f"another server uses {self.data}, perhaps on another machine; "
                "stop it there, or choose another --home"
            )
        last_line = text.splitlines()[-1] if text else "it logged nothing"
        return StoreError(
            f"the embedded store ended at once ({last_line}); "
            f"correct the cause, or set PYRITE_DATABASE_URI to a MongoDB server"
        )

    def require_space(self, wanted: int = RESERVE) -> None:
        """Make sure that the disk has room for what comes.

        Raises
        ------
        StoreError
            Fewer than ``wanted`` bytes are free.
        """
        if shutil.disk_usage(self.directory).free < wanted:
            raise self._disk_full()

    def _disk_full(self) -> StoreError:
        return StoreError(
            f"the disk that holds {self.home} is full (a store needs {MINIMUM_FREE // 10**6} MB "
            "to start); free some space and give the same command again, or choose another --home"
        )

    def _port_in_use(self, port: int) -> _PortInUse:
        return _PortInUse(
            f"port {port} on {HOST} is used by another program; "
            "choose another --port (or PYRITE_STORE_PORT), or leave it out and a free one is taken"
        )

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep other processes from starting or stopping this store; translate file errors."""
        lock = FileLock(self.directory / "lock", timeout=settings().store_start_timeout + 30)
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            with lock:
                yield
        except Timeout:
            raise StoreError(
                f"another process has been starting or stopping the store of {self.home} for long; "
                "wait for it or end it, and try again"
            ) from None
        except OSError as error:
            raise self._unwritable(error) from error

    def _unwritable(self, error: OSError) -> StoreError:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            return self._disk_full()
        return StoreError(
            f"cannot write to {self.home} ({error.strerror or error}); "
            "choose another --home, or make this one writable"
        )

    def _write_fireworks_files(self, port: int) -> None:
        import yaml

        launchpad = {"host": uri_of(port), "uri_mode": True, "name": DATABASE_NAME, "logdir": None}
        worker = {"name": socket.gethostname(), "category": "", "query": "{}"}
        write_atomically(self.home / LAUNCHPAD_FILE, yaml.safe_dump(launchpad, sort_keys=False))
        if not (self.home / FWORKER_FILE).exists():  # it may have been edited since
            write_atomically(self.home / FWORKER_FILE, yaml.safe_dump(worker, sort_keys=False))


# -- connections -----------------------------------------------------------------------


def connect(home: Path, timeout: float = TIMEOUT) -> tuple["LaunchPad", Store]:
    """Open the launchpad and the store that belong to it.

    The database is `Settings.uri` if that is set; otherwise the embedded
    store of `home`, which is started if it does not run.

    Parameters
    ----------
    timeout
        seconds that every operation waits for a server that does not answer;
        a worker that should outlive a restart of the database needs more
    """
    from fireworks import LaunchPad

    from pyrite.counters import initialise, use_safe_counters
    from pyrite.point_writes import use_point_writes

    use_safe_counters()
    machine = settings()
    given = machine.uri
    if given is None:
        uri, name = str(LocalStore(home).start().uri), DATABASE_NAME
    else:
        uri, name = given, machine.database_name or database_name_of(given)
    with Store.connect(uri, name):
        pass  # a wrong URI is told in our words before FireWorks sees it
    launchpad = LaunchPad(
        host=uri,
        name=name,
        uri_mode=True,
        strm_lvl=machine.log_level,
        mongoclient_kwargs={"serverSelectionTimeoutMS": round(timeout * 1000), **DURABLE},
    )
    try:
        use_point_writes(launchpad)
        initialise(launchpad)
        return launchpad, Store.from_launchpad(launchpad)
    except BaseException:
        launchpad.connection.close()
        raise
