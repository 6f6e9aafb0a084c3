"""What a user's input and environment can do to the real commands.

One sentence, an exit code that tells whose business it is, and nothing left behind.
Mistakes in search files and options are tested where they are read.
"""

import importlib.util
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from driving import anybody_left, call, call_here

from pyrite.documents import LabelStatus, SearchState
from pyrite.launchers import local_store
from pyrite.launchers.bookkeeping import snapshot
from pyrite.launchers.processes import HOST
from pyrite.launchers.session import attached
from pyrite.models.search import run_search
from pyrite.search_file import load_search

NAME = "weak"
SEARCH = """
composition: Na2Cl2
name: weak
pool: {{size: 6, symmetric_share: 0}}
reference:
  engine: maker
  static_maker: weak_makers.WeakMaker
  relax_maker: weak_makers.WeakMaker
  settings: {{gate: {gate}}}
surrogate: {{members: 2, features: 8, radial_basis: 6, cutoff: 4.0, interactions: 1}}
training: {{updates: 20}}
relaxation: {{max_steps: 5, anchors: 2}}
selection: {{first_labels: 4}}
convergence: {{max_iterations: 1, min_iterations: 1}}
validation: {{top_k: 2}}
execution: {{labels_per_task: 2, members_per_task: 1}}
"""


def assert_one_sentence(complaint: str, *words: str) -> None:
    assert complaint.startswith("Error: ")
    assert complaint.count("\n") == 1
    for word in words:
        assert word in complaint


# ------------------------------------------------------------------ the reference


def test_a_reference_that_returns_nan_ends_the_search_until_it_is_mended(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, search_file = tmp_path / "gate", tmp_path / "weak.yaml"
    search_file.write_text(SEARCH.format(gate=gate))
    here = Path(__file__).parent
    search_path = [str(here), str(here.parents[1]), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(search_path))
    environment = {"PYTHONPATH": os.environ["PYTHONPATH"]}
    arguments = ("pyrite", "run", search_file, "--home", home, "--workers", 1)

    failed = call(*arguments, cwd=tmp_path, code=2, **environment)
    assert_one_sentence(
        failed.stderr, "4 of 4 reference calculations of iteration 0 failed", "finite", "resume"
    )
    assert "Traceback" not in failed.stdout
    assert anybody_left(home) == []
    status = call("pyrite", "status", NAME, "--home", home, cwd=tmp_path).stdout
    assert "failed" in status
    assert "4 of 4 reference calculations" in status
    with attached(home, create=False) as session:
        assert session.store.get_search(NAME).state is SearchState.FAILED
        labels = session.store.labels(NAME)
    assert [one.status for one in labels] == [LabelStatus.FAILED] * 4
    assert all("finite" in str(one.reason) for one in labels)

    gate.touch()
    call(*arguments, cwd=tmp_path, **environment)
    with attached(home, create=False) as session:
        result = session.store.result(NAME)
        search = session.store.get_search(NAME)
    assert (search.state, search.error) == (SearchState.DONE, None)
    monkeypatch.syspath_prepend(here)
    sound = run_search(load_search(search_file), tmp_path / "alone")
    assert result is not None
    assert result.ranking == sound.ranking
    assert result.ledger.failed_labels == 0


def test_a_worker_leaves_makers_that_it_may_not_run_to_others(home: Path, tmp_path: Path) -> None:
    gate, search_file = tmp_path / "gate", tmp_path / "weak.yaml"
    gate.touch()
    search_file.write_text(SEARCH.format(gate=gate))
    here = Path(__file__).parent
    search_path = [str(here), str(here.parents[1]), os.environ.get("PYTHONPATH", "")]
    environment = {"PYTHONPATH": os.pathsep.join(search_path)}
    call("pyrite", "add", search_file, "--home", home, cwd=tmp_path, **environment)

    work = ("pyrite", "work", "--idle", "5", "--home", home)
    said = call(*work, cwd=tmp_path, **environment).stdout
    assert said.count("left to others") == 1
    assert "weak_makers.WeakMaker" in said
    assert "PYRITE_MAKERS" in said
    with attached(home, create=False) as session:
        search = session.store.get_search(NAME)
        states = {
            one.name.partition(" ")[0]: one.state
            for one in snapshot(session.launchpad, NAME).members
        }
    assert (search.state, search.error) == (SearchState.RUNNING, None)
    assert (states["generate"], states["label"]) == ("COMPLETED", "READY")

    environment["PYRITE_MAKERS"] = "weak_makers"
    call(*work, cwd=tmp_path, **environment)
    with attached(home, create=False) as session:
        assert session.store.get_search(NAME).state is SearchState.DONE


# ------------------------------------------------------------------ the machine


@pytest.fixture
def refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """Call ``pyrite`` in this process; returns what it complained of."""
    monkeypatch.chdir(tmp_path)

    def call_refused(*arguments: str) -> str:
        assert call_here(*arguments) == 2
        said = capsys.readouterr()
        assert said.out == ""
        assert list(tmp_path.iterdir()) == [], "something was left behind"
        return said.err

    return call_refused


COMMANDS = pytest.mark.parametrize("command", ["run", "add"])


@COMMANDS
def test_a_full_disk(refused, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    monkeypatch.setattr(local_store, "MINIMUM_FREE", 10**18)
    assert_one_sentence(refused(command, "--composition", "NaCl"), "is full", "--home")


@COMMANDS
def test_a_port_that_is_in_use(refused, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        listener.listen()
        port = str(listener.getsockname()[1])
        monkeypatch.setenv("PYRITE_STORE_PORT", port)
        home = ("--home", "new/parents/too")
        assert_one_sentence(
            refused(command, "--composition", "NaCl", *home), f"port {port}", "PYRITE_STORE_PORT"
        )


@pytest.mark.parametrize("command", ["run", "add", "write"])
def test_an_engine_that_is_not_installed(
    refused, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "chgnet" else real(name)
    )
    complaint = refused(command, "--composition", "NaCl")
    assert_one_sentence(complaint, "chgnet", "not installed", "pip install")
