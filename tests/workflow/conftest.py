"""The embedded store and the dummy tasks, for tests of what runs on FireWorks."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for dummy_tasks, here and in workers


@pytest.fixture(scope="session")
def embedded_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home with a running store and its my_launchpad.yaml."""
    home = tmp_path_factory.mktemp("home")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [
            str(Path(sys.executable).parent / "secantusd-py"),
            *("--host", "127.0.0.1", "--port", str(port)),
            *("--storage-path", str(home / "db"), "--standalone", "--cache-size", "64M"),
            "--sync-on-commit",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    (home / "my_launchpad.yaml").write_text(
        f"host: mongodb://127.0.0.1:{port}/fw?directConnection=true\n"
        "uri_mode: true\nname: fw\nlogdir: null\nstrm_lvl: ERROR\n"
    )
    time.sleep(2)
    yield home
    server.terminate()
    server.wait()
