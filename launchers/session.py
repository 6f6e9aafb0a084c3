"""One command's use of a home: its store, started if need be and stopped by the last to leave.

A home is a directory (``.pyrite``) with the embedded store's data, the workers'
logs and launch directories, and some lock files:

- ``locks/users/*`` is held by every command that uses the store, and tells the
  one which leaves last from the others;
- ``locks/started`` exists while the store runs because a command needed it, and
  not because a user said ``pyrite store start``;
- ``locks/run-NAME`` is held by the one ``pyrite run`` that runs a search.
"""

import os
import shutil
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from pyrite.errors import StoreError

if TYPE_CHECKING:
    from fireworks import LaunchPad

    from pyrite.store import Store


@dataclass(frozen=True)
class Session:
    """An open connection; ``launchpad_file`` lets other processes open the same."""

    home: Path
    launchpad: "LaunchPad"
    store: "Store"
    embedded: bool

    @property
    def launchpad_file(self) -> Path:
        """From which workers connect; readable by its owner only, as it may hold a password."""
        path = self.home / "my_launchpad.yaml"
        if self.embedded and path.exists():
            return path
        path = self.home / "worker_launchpad.yaml"
        path.touch()
        path.chmod(0o600)
        self.launchpad.to_file(str(path))
        return path

    def require_space(self) -> None:
        """Make sure that the disk of an embedded store is not full."""
        from pyrite.launchers.local_store import LocalStore

        if self.embedded:
            LocalStore(self.home).require_space()

    def revive(self) -> None:
        """Start an embedded store again that has died."""
        if self.embedded:
            _start(self.home)


@contextmanager
def attached(home: Path, *, create: bool) -> Iterator[Session]:
    """Connect to the store of a home, or to the server that PYRITE_DATABASE_URI names.

    Parameters
    ----------
    home : Path
        A home that is new and could not be used leaves nothing behind.
    create : bool
        Whether there may be a new home; reading commands want an existing one.

    Raises
    ------
    StoreError
        There is no store, or it cannot be started or reached.
    """
    from pyrite.settings import settings

    home = home.absolute()
    embedded = settings().uri is None
    if embedded and not create and not (home / "store").is_dir():
        raise StoreError(f"there are no searches in {home}; name their directory with --home")
    if home.exists() and not home.is_dir():
        raise StoreError(f"{home} is a file; choose another directory with --home")
    with ExitStack() as stack:
        if create and not home.exists():
            new = [one for one in (home, *home.parents) if not one.exists()]
            stack.callback(_remove_if_unused, home, new[1:])
        if create or embedded:
            make_home(home)
        if embedded:
            stack.enter_context(_embedded_store(home))
        yield stack.enter_context(_connection(home, embedded=embedded))


@contextmanager
def sole_runner(home: Path, search: str) -> Iterator[None]:
    """Be the only ``pyrite run`` of a search in this home.

    Raises
    ------
    StoreError
        Another one is at it.
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(FileLock(home / "locks" / f"run-{search}", timeout=0))
        except Timeout:
            raise StoreError(
                f"search {search} is being run by another 'pyrite run' in {home}; "
                "wait for it, end it, or give this search another --name"
            ) from None
        yield


def keep(home: Path) -> None:
    """Note that a home is in use, so that leaving does not remove it."""
    (home / "locks" / "used").touch()


def make_home(home: Path) -> None:
    """Make the directory and its locks, unless they are there."""
    try:
        (home / "locks" / "users").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"directory {home} cannot be made or written ({error.strerror}); "
            "choose another with --home"
        ) from None


def _remove_if_unused(home: Path, new_parents: Sequence[Path]) -> None:
    if not (home / "locks" / "used").exists():
        shutil.rmtree(home, ignore_errors=True)
        with suppress(OSError):  # somebody else's by now
            for parent in new_parents:
                parent.rmdir()


@contextmanager
def _connection(home: Path, *, embedded: bool) -> Iterator[Session]:
    from pyrite.launchers.local_store import connect

    launchpad, store = connect(home)
    try:
        yield Session(home, launchpad, store, embedded)
    finally:
        with suppress(Exception):
            store.close()


@contextmanager
def _embedded_store(home: Path) -> Iterator[None]:
    locks = home / "locks"
    mine = locks / "users" / f"{os.getpid()}-{uuid.uuid4().hex[:8]}"
    with ExitStack() as stack:
        with FileLock(locks / "home"):
            stack.callback(mine.unlink, missing_ok=True)
            stack.enter_context(FileLock(mine))
            _start(home)
        try:
            yield
        finally:
            with FileLock(locks / "home"):
                stack.close()
                _stop_if_last(home)


def _start(home: Path) -> None:
    from pyrite.launchers.local_store import LocalStore

    store = LocalStore(home)
    if not store.status().running:
        started = home / "locks" / "started"
        started.touch()
        try:
            store.start()
        except BaseException:
            started.unlink(missing_ok=True)
            raise


def _stop_if_last(home: Path) -> None:
    from pyrite.launchers.local_store import LocalStore

    started = home / "locks" / "started"
    for user in list((home / "locks" / "users").iterdir()):
        try:
            with FileLock(user, timeout=0):
                pass
        except Timeout:
            return
        user.unlink(missing_ok=True)
    if started.exists():
        LocalStore(home).stop()
        started.unlink(missing_ok=True)
