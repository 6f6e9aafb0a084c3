"""The embedded store and the dummy tasks, for tests of what runs on FireWorks."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fireworks import LaunchPad

from pyrite.launchers.local_store import LAUNCHPAD_FILE, LocalStore, connect

sys.path.insert(0, str(Path(__file__).parent))  # for dummy_tasks


@pytest.fixture(scope="session")
def embedded_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home with a running store and its my_launchpad.yaml."""
    store = LocalStore(tmp_path_factory.mktemp("home"))
    store.start()
    yield store.home
    store.stop()


@pytest.fixture
def launchpad_file(embedded_home: Path) -> Path:
    return embedded_home / LAUNCHPAD_FILE


@pytest.fixture
def launchpad(embedded_home: Path) -> Iterator[LaunchPad]:
    """The embedded store's launchpad, without fireworks."""
    launchpad, _ = connect(embedded_home)
    for collection in (launchpad.fireworks, launchpad.launches, launchpad.workflows):
        collection.delete_many({})
    yield launchpad
    launchpad.connection.close()


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A home of which nothing survives the test, however it ends."""
    from driving import call

    home = tmp_path / "home"
    yield home
    if home.exists():
        call("pyrite", "store", "stop", "--home", home, cwd=tmp_path)
