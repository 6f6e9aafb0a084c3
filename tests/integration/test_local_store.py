"""The embedded store as a process: starts, stops, crashes, and what can stand in its way."""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import yaml
from fireworks import Firework, FWorker, LaunchPad, ScriptTask
from typer.testing import CliRunner

from pyrite.documents import ShardCost
from pyrite.errors import ConfigError, StoreError
from pyrite.launchers import local_store
from pyrite.launchers.local_store import LocalStore, connect
from pyrite.launchers.processes import HOST, children, free_port, program
from pyrite.launchers.store_commands import store_app
from pyrite.settings import settings
from pyrite.store import Store


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStore]:
    """A store that the tests of this file may stop and kill."""
    local = LocalStore(tmp_path_factory.mktemp("local") / "home")
    yield local
    local.stop()


@pytest.fixture
def listener() -> Iterator[int]:
    """A port that another program uses."""
    with socket.socket() as server:
        server.bind((HOST, 0))
        server.listen()
        yield server.getsockname()[1]


def fake_server(directory: Path, *lines: str) -> str:
    """Make a program that prints some lines and fails."""
    script = directory / "fake-server"
    echoes = "".join(f"echo '{line}' >&2\n" for line in lines)
    script.write_text(f"#!/bin/sh\n{echoes}exit 1\n")
    script.chmod(0o755)
    return str(script)


def cost(shard: int) -> ShardCost:
    return ShardCost(search_id="s", iteration=0, shard=shard, candidates=1, steps=1, seconds=0.1)


# -- starting and stopping -------------------------------------------------------------


def test_starting_twice_is_starting_once(local: LocalStore) -> None:
    first = local.start()
    assert local.start() == first == local.status()
    assert first.uri == local.uri
    assert first.pid is not None
    assert os.getsid(first.pid) != os.getsid(0)  # Ctrl-C in our terminal is not for it


def test_fireworks_commands_find_the_store(local: LocalStore) -> None:
    connect(local.home)[1].close()
    launchpad_file = local.home / "my_launchpad.yaml"
    launchpad = LaunchPad.from_file(str(launchpad_file))
    launchpad.add_wf(Firework(ScriptTask.from_str("true"), name="hello"))
    launchpad.connection.close()
    assert FWorker.from_file(str(local.home / "my_fworker.yaml")).name == socket.gethostname()
    lpad = subprocess.run(
        [program("lpad"), "-l", str(launchpad_file), "get_wflows"],
        check=True,
        capture_output=True,
        text=True,
        cwd=local.home,
    )
    assert "hello" in lpad.stdout


def test_edits_of_the_worker_file_stay(local: LocalStore) -> None:
    local.start()
    file = local.home / "my_fworker.yaml"
    file.write_text("name: mine\ncategory: gpu\nquery: '{}'\n")
    local.start()
    assert yaml.safe_load(file.read_text())["category"] == "gpu"


def test_nothing_acknowledged_is_lost_by_a_kill(local: LocalStore) -> None:
    pid = local.start().pid
    assert pid is not None
    acknowledged: list[int] = []

    def write() -> None:
        with Store.connect(local.uri) as store, suppress(StoreError):
            for shard in range(10**6):
                store.put_shard_cost(cost(shard))
                acknowledged.append(shard)

    writer = threading.Thread(target=write)
    writer.start()
    while len(acknowledged) < 30:
        assert writer.is_alive()
    os.kill(pid, signal.SIGKILL)
    writer.join()

    again = local.start()
    assert again.pid != pid
    assert again.uri == local.uri
    with Store.connect(local.uri) as store:
        found = {one.shard for one in store.shard_costs("s")}
    assert set(acknowledged) <= found
    assert len(found) <= len(acknowledged) + 1


def test_a_server_that_is_out_of_order_is_replaced(
    local: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = local.start()
    answers = iter([False])
    monkeypatch.setattr(local_store, "server_works", lambda *_: next(answers))
    after = local.start()
    assert after.pid != before.pid
    assert after.port == before.port


def test_another_port_than_the_running_one(local: LocalStore) -> None:
    state = local.start()
    with pytest.raises(StoreError, match=rf"runs on port {state.port}, not 12345; stop it first"):
        local.start(port=12345)
    assert local.status() == state


def test_a_second_server_on_the_same_data(local: LocalStore) -> None:
    local.start()
    other = LocalStore(local.home)
    hidden = other.data  # the same directory by another path: not recognised as ours
    other.data = hidden.parent / "." / ".." / "store" / "data"
    other._record = other._record.with_name("other.json")
    with pytest.raises(StoreError, match=r"another server uses .*another --home"):
        other.start()
    assert local.status().answering


def test_stopping_twice(local: LocalStore) -> None:
    pid = local.start().pid
    assert pid is not None
    assert local.stop()
    assert not psutil.pid_exists(pid)
    assert not local.stop()
    state = local.status()
    assert (state.running, state.pid) == (False, None)
    assert local.data.is_dir()


def test_a_stale_record_never_harms_another_process(local: LocalStore) -> None:
    local.stop()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        local._remember(other.pid, local.status().port or 0)
        assert not local.status().running
        assert not local.stop()
        assert other.poll() is None
        other.communicate(b"\n")


def test_a_remembered_port_that_is_taken_meanwhile(local: LocalStore) -> None:
    local.stop()
    port = local.status().port
    assert port is not None
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind((HOST, port))
        other.listen()
        state = local.start()
    assert state.port != port
    assert str(state.port) in (local.home / "my_launchpad.yaml").read_text()


def test_a_record_that_is_damaged(local: LocalStore) -> None:
    state = local.start()
    for text in ("not json", "[]", "{}"):
        (local.directory / "server.json").write_text(text)
        assert local.start() == state


def test_two_processes_start_one_server(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; "
        "from pyrite.launchers.local_store import LocalStore; "
        "print(LocalStore(Path(sys.argv[1])).start().pid)"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    starters = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    pids = {starter.communicate(timeout=60)[0].strip() for starter in starters}
    local = LocalStore(tmp_path)
    assert pids == {str(local.status().pid)}
    assert local.stop()  # also by a process that did not start it


def test_two_homes_side_by_side(local: LocalStore, embedded_store: LocalStore) -> None:
    one, two = local.start(), embedded_store.start()
    assert one.pid != two.pid
    assert one.port != two.port
    assert one.answering
    assert two.answering


# -- what can go wrong -----------------------------------------------------------------


def expect_nothing_left(home: Path, message: str, port: int | None = None) -> None:
    processes = len(children)
    with pytest.raises(StoreError, match=message) as caught:
        LocalStore(home).start(port)
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)
    assert not home.exists()
    assert not home.parent.exists()
    assert all(child.poll() is not None for child in children[processes:])


def test_a_port_that_is_in_use(tmp_path: Path, listener: int) -> None:
    message = f"port {listener} on 127.0.0.1 is used by another program; choose another --port"
    expect_nothing_left(tmp_path / "a" / "b", message, listener)


def test_a_port_that_is_taken_at_the_last_moment(
    tmp_path: Path, listener: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_store, "port_is_free", lambda _: True)
    expect_nothing_left(tmp_path / "a" / "b", "used by another program", listener)


def test_a_port_from_the_environment(
    tmp_path: Path, listener: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYRITE_STORE_PORT", str(listener))
    expect_nothing_left(tmp_path / "a" / "b", f"port {listener} on")


def test_a_server_that_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYRITE_STORE_COMMAND", "no-such-server")
    message = r"no-such-server\) is not installed; .*pyrite-csp\[embedded\].*PYRITE_DATABASE_URI"
    expect_nothing_left(tmp_path / "a" / "b", message)


@pytest.mark.parametrize(
    ("log", "message"),
    [
        (("Traceback:", "OSError: strange"), r"ended at once \(OSError: strange\);"),
        ((), r"ended at once \(it logged nothing\);"),
        (("[Errno 28] No space left on device", "x"), r"disk .* is full .*free some space"),
    ],
)
def test_a_server_that_dies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log: tuple[str, ...], message: str
) -> None:
    monkeypatch.setenv("PYRITE_STORE_COMMAND", fake_server(tmp_path, *log))
    expect_nothing_left(tmp_path / "a" / "b", message)


def test_a_server_that_never_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    silent = tmp_path / "silent"
    silent.write_text("#!/bin/sh\nexec sleep 100\n")
    silent.chmod(0o755)
    monkeypatch.setenv("PYRITE_STORE_COMMAND", str(silent))
    monkeypatch.setenv("PYRITE_STORE_START_TIMEOUT", "0.5")
    expect_nothing_left(tmp_path / "a" / "b", "has not answered for 0 s; look into")


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_store, "MINIMUM_FREE", 10**18)
    expect_nothing_left(tmp_path / "a" / "b", "disk that holds .* is full .*another --home")


def test_ctrl_c_while_starting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(LocalStore, "_await", interrupt)
    with pytest.raises(KeyboardInterrupt):
        LocalStore(tmp_path / "home").start()
    assert not (tmp_path / "home").exists()
    assert children[-1].poll() is not None


def test_a_home_that_cannot_be_written(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(StoreError, match=r"cannot write to .*Not a directory.*another --home"):
        LocalStore(file / "home").start()
    assert list(tmp_path.iterdir()) == [file]


def test_a_home_without_a_store(tmp_path: Path) -> None:
    local = LocalStore(tmp_path / "home")
    assert not local.stop()
    assert not local.status().running
    with pytest.raises(StoreError, match="no store was ever started"):
        _ = local.uri
    assert list(tmp_path.iterdir()) == []


# -- settings and commands -------------------------------------------------------------


@pytest.mark.parametrize(
    ("variable", "value"), [("PYRITE_STORE_PORT", "s3cret"), ("PYRITE_STORE_CACHE_SIZE", "s3cret")]
)
def test_a_setting_that_cannot_be_used(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigError, match=f"environment variable {variable} cannot") as caught:
        settings()
    assert value not in str(caught.value)


def test_the_commands(local: LocalStore) -> None:
    local.stop()
    runner = CliRunner()
    home = ["--home", str(local.home)]
    port = free_port()
    started = runner.invoke(store_app, ["start", *home, "--port", str(port)])
    assert started.exit_code == 0
    assert f"mongodb://127.0.0.1:{port}/pyrite" in started.output
    assert (
        f"runs at mongodb://127.0.0.1:{port}" in runner.invoke(store_app, ["status", *home]).output
    )
    assert "has stopped" in runner.invoke(store_app, ["stop", *home]).output
    assert "is not running" in runner.invoke(store_app, ["status", *home]).output
    assert "was not running" in runner.invoke(store_app, ["stop", *home]).output


def test_errors_of_the_commands_reach_the_entry_point(tmp_path: Path, listener: int) -> None:
    arguments = ["start", "--home", str(tmp_path / "home"), "--port", str(listener)]
    outcome = CliRunner().invoke(store_app, arguments)
    assert isinstance(outcome.exception, StoreError)
