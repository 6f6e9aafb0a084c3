"""``pyrite work`` on a database with a password, beside a workflow of somebody else."""

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from driving import BIN, Command, call, wait
from fireworks import Firework, LaunchPad, ScriptTask, Workflow
from pymongo import MongoClient
from pymongo.errors import PyMongoError

PASSWORD = "opensesame-4711"
SEARCH = """
name: guarded
composition: Na2Cl2
seed: 3
pool: {size: 8, symmetric_share: 0}
surrogate: {members: 2, features: 12, radial_basis: 8, cutoff: 4.5, interactions: 1}
training: {updates: 60, warm_updates: 60}
selection: {first_labels: 6}
relaxation: {max_steps: 25}
convergence: {max_iterations: 1, min_iterations: 1}
validation: {top_k: 1, max_steps: 10}
"""


class Server:
    """A database that may ask for a password."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.process: subprocess.Popen[bytes] | None = None

    def uri(self, user: str = "") -> str:
        return f"mongodb://{user}127.0.0.1:{self.port}/pyrite"

    def start(self, *options: str) -> None:
        command = [str(BIN / "secantusd-py"), "--host", "127.0.0.1", "--port", str(self.port)]
        command += ["--storage-path", str(self.directory / "data"), "--cache-size", "256M"]
        command += ["--sync-on-commit"]  # else kill -9 takes acknowledged labels with it
        with (self.directory / "server.log").open("ab") as log:
            self.process = subprocess.Popen([*command, *options], stdout=log, stderr=log)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with (
                suppress(PyMongoError),
                MongoClient(self.uri(), serverSelectionTimeoutMS=300) as client,
            ):
                client.admin.command("hello")
                return
        raise AssertionError((self.directory / "server.log").read_text())

    def stop(self, *, kill: bool = False) -> None:
        if self.process is not None:
            (self.process.kill if kill else self.process.terminate)()
            self.process.wait(60)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    directory = tmp_path / "server"
    directory.mkdir()
    server = Server(directory)
    server.start()
    with MongoClient(server.uri()) as client:
        roles = [{"role": "root", "db": "admin"}]
        client.admin.command("createUser", "ada", pwd=PASSWORD, roles=roles)
    server.stop()
    server.start("--auth")
    yield server
    server.stop()


def test_a_password_is_needed_and_stays_where_it_was(server: Server, tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    (work / "search.yaml").write_text(SEARCH)
    uri = server.uri(f"ada:{PASSWORD}@") + "?authSource=admin"
    secret = tmp_path / "uri"
    secret.write_text(uri + "\n")

    for wrong in (server.uri(), server.uri("ada:wrong-4712@") + "?authSource=admin"):
        refused = subprocess.run(
            [str(BIN / "pyrite"), "status"],
            env={**os.environ, "PYRITE_DATABASE_URI": wrong},
            cwd=work,
            capture_output=True,
            text=True,
            check=False,
        )
        assert refused.returncode != 0
        assert "Traceback" not in refused.stderr
        assert "PYRITE_DATABASE_URI" in refused.stderr
        assert "4712" not in refused.stderr

    settings = {"PYRITE_DATABASE_URI_FILE": str(secret)}
    secret.chmod(0o644)
    refused = subprocess.run(
        [str(BIN / "pyrite"), "status"],
        env={**os.environ, **settings},
        cwd=work,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "chmod 600" in refused.stderr
    secret.chmod(0o600)

    call("pyrite", "add", "search.yaml", cwd=work, **settings)
    launchpad = LaunchPad(uri, uri_mode=True, name="pyrite", strm_lvl="ERROR")
    foreign = Firework(ScriptTask.from_str(f"touch {tmp_path / 'foreign'}"), name="foreign")
    bad = Firework(ScriptTask.from_str(f"touch {tmp_path / 'bad'}"), name="bad")
    bad.spec["search_id"] = "guarded"
    launchpad.add_wf(Workflow([foreign]))
    launchpad.add_wf(Workflow([bad]))

    worker = Command("pyrite", "work", "--idle", "6", cwd=work, **settings)
    ready = {"spec.search_id": "guarded", "state": "COMPLETED"}
    wait(lambda: launchpad.fireworks.count_documents(ready) >= 2, worker)
    server.stop(kill=True)
    time.sleep(1)
    server.start("--auth")
    said = worker.end()
    assert PASSWORD not in said

    def done() -> bool:
        """A launch that is not lost yet is found by the next upkeep."""
        call("pyrite", "maintain", "--lost-after", "40", cwd=work, **settings)
        Command("pyrite", "work", "--idle", "4", cwd=work, **settings).end()
        return "done" in call("pyrite", "status", cwd=work, **settings).stdout

    wait(done)
    untouched = launchpad.fireworks.find({"name": {"$in": ["foreign", "bad"]}})
    assert [one["state"] for one in untouched] == ["READY", "READY"]
    assert not (tmp_path / "foreign").exists()
    assert not (tmp_path / "bad").exists()

    database = launchpad.connection["pyrite"]
    for name in database.list_collection_names():
        for document in database[name].find():
            assert PASSWORD not in str(document), name
    for path in work.rglob("*"):
        if path.is_file():
            assert PASSWORD.encode() not in path.read_bytes(), path
    launchpad.connection.close()
