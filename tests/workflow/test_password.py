"""``pyrite run`` on a database with a password: nothing that a run leaves holds it."""

import stat
import time
from pathlib import Path

import psutil
import pytest
from driving import Command, call
from pymongo import MongoClient
from test_work import PASSWORD, SEARCH, Server, server

__all__ = ["server"]  # the fixture


@pytest.fixture
def uri(server: Server) -> str:  # as pytest has it
    return server.uri(f"ada:{PASSWORD}@") + "?authSource=admin"


def test_specs_logs_and_processes_of_a_whole_run_hold_no_password(uri: str, tmp_path: Path) -> None:
    (tmp_path / "search.yaml").write_text(SEARCH.replace("guarded", "whole"))
    work = tmp_path / "work"
    work.mkdir()
    command = ("run", tmp_path / "search.yaml", "--workers", "1", "--no-live")
    running = Command("pyrite", *command, cwd=work, PYRITE_DATABASE_URI=uri)
    seen: set[str] = set()
    while running.process.poll() is None:
        for one in psutil.process_iter(["cmdline"]):
            line = " ".join(one.info["cmdline"] or [])
            if str(work) in line:
                seen.add(line)
        time.sleep(0.2)
    assert "ranking" in running.end()
    assert seen, "its workers were never seen"
    assert not any(PASSWORD in line for line in seen)

    holding = [
        path
        for path in work.rglob("*")
        if path.is_file() and PASSWORD.encode() in path.read_bytes()
    ]
    assert [path.name for path in holding] == ["worker_launchpad.yaml"]
    assert stat.S_IMODE(holding[0].stat().st_mode) == 0o600
    with MongoClient(uri) as client:
        database = client["pyrite"]
        names = database.list_collection_names()
        assert {"fireworks", "launches", "workflows", "searches", "labels"} <= set(names)
        for name in names:
            for document in database[name].find():
                assert PASSWORD not in str(document), name
    said = call("pyrite", "status", cwd=work, PYRITE_DATABASE_URI=uri)
    assert "done" in said.stdout
    assert PASSWORD not in said.stdout + said.stderr
