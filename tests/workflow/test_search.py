"""A whole search, end to end: real commands, real worker processes, the embedded store.

However it is run and whatever happens to it, the ranking is that of the same search in one
process without FireWorks, to the last digit.
"""

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from driving import (
    Command,
    anybody_left,
    call,
    call_here,
    catch,
    launchpad_of,
    pending,
    server,
    under_way,
    wait,
)
from rich.console import Console

from pyrite.documents import Choice, Iteration, Label, Relaxation, SearchState
from pyrite.errors import RecordsEnd
from pyrite.launchers.bookkeeping import snapshot
from pyrite.launchers.replay import replay
from pyrite.launchers.session import attached
from pyrite.models.search import run_search
from pyrite.results import Result
from pyrite.search_file import load_search
from pyrite.views import Views

NAME = "tiny"
SMALL = f"""
name: {NAME}
seed: 3
pool: {{size: 10, symmetric_share: 0}}
surrogate: {{members: 2, features: 12, radial_basis: 8, cutoff: 4.5, interactions: 1}}
training: {{updates: 60, warm_updates: 120}}
selection: {{first_labels: 8, labels: 4}}
execution: {{labels_per_task: 4, members_per_task: 1, candidates_per_task: 6}}
"""
SEARCH = f"""{SMALL}
composition: Na2Cl2
relaxation: {{max_steps: 25, anchors: 2, batch_size: 4}}
convergence: {{max_iterations: 2, min_iterations: 2}}
validation: {{top_k: 4, max_steps: 15}}
"""
REOPENED = f"""{SMALL}
composition: Si4
relaxation: {{max_steps: 25, anchors: 2, batch_size: 4, max_relative_uncertainty: 1.0e+9}}
convergence:
  {{criterion: energy, energy_tolerance: 100, max_energy_spread: 100, min_iterations: 1}}
validation: {{top_k: 2}}
"""


@pytest.fixture(scope="module")
def search_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("search") / "tiny.yaml"
    path.write_text(SEARCH)
    return path


class Trace:
    """All that a search in one process decided."""

    def __init__(self) -> None:
        self.iterations: list[Iteration] = []
        self.relaxations: list[list[Relaxation]] = []
        self.labels: list[Label] = []
        self.result: Result | None = None

    def __call__(self, iteration: Any, relaxations: Any, labels: Any, members: Any) -> None:
        self.iterations.append(iteration)
        self.relaxations.append(list(relaxations))
        self.labels = list(labels)


@pytest.fixture(scope="module")
def alone(search_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Trace:
    """The search in one process, without FireWorks and without a database."""
    trace = Trace()
    directory = tmp_path_factory.mktemp("alone")
    trace.result = run_search(load_search(search_file), directory, observer=trace)
    return trace


@pytest.fixture(scope="module")
def undisturbed(search_file: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The home of ``pyrite run`` with two workers, and what it said."""
    home = tmp_path_factory.mktemp("undisturbed") / "home"
    return home, call("pyrite", "run", search_file, "--home", home, cwd=home.parent).stdout


def assert_same(home: Path, alone: Trace) -> None:
    """The search in this home ended as it does in one process."""
    with attached(home, create=False) as session:
        result = session.store.result(NAME)
        state = session.store.get_search(NAME).state
        states = {one.state for one in snapshot(session.launchpad, NAME).members}
    assert anybody_left(home) == []
    assert states == {"COMPLETED"}
    assert state is SearchState.DONE
    assert result is not None
    assert alone.result is not None
    assert result.ranking == alone.result.ranking
    assert result.iterations == alone.result.iterations == 2
    assert result.ended_by is alone.result.ended_by
    for count in ("reference_calls", "reference_calls_first_found", "failed_labels"):
        assert getattr(result.ledger, count) == getattr(alone.result.ledger, count), count


def test_a_search_goes_on_when_the_reference_knows_better(home: Path, tmp_path: Path) -> None:
    """Everything counts as converged here, so that only the validation reopens the loop."""
    search_file = tmp_path / "reopened.yaml"
    search_file.write_text(REOPENED)
    trace = Trace()
    trace.result = run_search(load_search(search_file), tmp_path / "alone", observer=trace)
    verdicts = [one.confirmed for one in trace.iterations]
    assert verdicts[-2:] == [False, True]
    validated = [one for one in trace.labels if one.choice is Choice.VALIDATED]
    assert {one.iteration for one in validated} == {len(verdicts) - 1}

    call("pyrite", "run", search_file, "--home", home, "--workers", 1, cwd=tmp_path)
    with attached(home, create=False) as session:
        assert [one.confirmed for one in session.store.iterations(NAME)] == verdicts
        found = session.store.result(NAME)
        states = {one.state for one in snapshot(session.launchpad, NAME).members}
    assert states == {"COMPLETED"}
    assert found is not None
    assert found.ranking == trace.result.ranking
    assert found.ledger.reference_calls == trace.result.ledger.reference_calls


def test_a_replay_needs_neither_the_reference_nor_what_drew_the_pool(
    undisturbed: tuple[Path, str], monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    home, _ = undisturbed
    for name in ("generate_pool", "preflight", "require_reference"):
        monkeypatch.setattr(f"pyrite.launchers.replay.{name}", None)
    assert call_here("replay", NAME, "--home", home) == 0
    said = capsys.readouterr().out
    assert "iteration 0: 8 of 8 labels recorded" in said
    assert "iteration 1: 4 of 4 labels recorded" in said
    rows = [line.split("│")[2:-1] for line in said.splitlines() if line.startswith("│")]
    assert len(rows) == 2
    assert rows[0] == rows[1], "the replay ends as the search did"
    with (
        attached(home, create=False) as session,
        pytest.raises(TypeError),  # the engine is asked for where it may be needed
    ):
        replay(session.store, NAME, None, Console(quiet=True), calculate=True)


def test_a_replay_by_other_rules_goes_as_far_as_the_records_do(
    alone: Trace, undisturbed: tuple[Path, str], tmp_path: Path, capsys: Any
) -> None:
    home, _ = undisturbed
    fewer, longer = tmp_path / "fewer.yaml", tmp_path / "longer.yaml"
    fewer.write_text(SEARCH.replace("top_k: 4", "top_k: 1"))
    longer.write_text(SEARCH.replace("max_iterations: 2", "max_iterations: 3"))
    with attached(home, create=False) as session:
        found = replay(session.store, NAME, fewer, Console(quiet=True), calculate=False)
    assert alone.result is not None
    energies = {one.energy_ev_per_atom for one in alone.result.ranking}
    assert {one.energy_ev_per_atom for one in found.ranking} < energies
    assert found.ledger.reference_calls < alone.result.ledger.reference_calls

    assert call_here("replay", NAME, longer, "--home", home) == RecordsEnd.exit_code
    said = capsys.readouterr()
    assert "iteration 1: 4 of 4 labels recorded" in said.out
    assert said.err.startswith("Error: ")
    assert "--calculate" in said.err


def test_a_replay_with_another_reference_is_refused(
    undisturbed: tuple[Path, str], tmp_path: Path
) -> None:
    home, _ = undisturbed
    other = tmp_path / "other.yaml"
    other.write_text(SEARCH + "reference: {max_force: 50}\n")
    refused = call("pyrite", "replay", NAME, other, "--home", home, cwd=tmp_path, code=2)
    assert "reference.max_force is 50.0, and" in refused.stderr


def timeless(label: Label) -> dict[str, Any]:
    """A label without what depends on the day."""
    return label.model_dump(exclude={"provenance": {"seconds"}})


# ------------------------------------------------------------------ undisturbed


def test_two_workers_rank_as_one_process_does(alone: Trace, undisturbed: tuple[Path, str]) -> None:
    home, said = undisturbed
    assert_same(home, alone)
    assert alone.result is not None
    assert len(alone.result.ranking) > 1
    for words in ("ranking", "reference calls:", "ended by max iterations after 2 iterations"):
        assert words in said
    for one in alone.result.ranking:
        assert f"{one.energy_ev_per_atom:.4f}" in said
        assert one.space_group_symbol in said


def test_every_step_is_the_same(alone: Trace, undisturbed: tuple[Path, str]) -> None:
    """Not only the ranking: so that a difference is found where it begins."""
    with attached(undisturbed[0], create=False) as session:
        labels = session.store.labels(NAME)
        relaxations = [session.store.relaxations(NAME, k) for k in (0, 1)]
        iterations = session.store.iterations(NAME)
        forecasts = Views(session.store).forecasts(NAME)
    told = {(one["iteration"], one["candidate_id"]) for one in forecasts}
    assert told == {(1, one.candidate_id) for one in labels if one.iteration == 1}
    assert list(map(timeless, labels)) == list(map(timeless, alone.labels))
    assert relaxations == alone.relaxations
    assert iterations == alone.iterations


def test_the_same_command_again_shows_the_ranking(
    undisturbed: tuple[Path, str], search_file: Path
) -> None:
    home, said = undisturbed
    again = call("pyrite", "run", search_file, "--home", home, cwd=home.parent).stdout
    assert again == said[said.index(f"{NAME}: ranking") :]


def test_a_second_search_of_the_same_name_is_refused(
    alone: Trace, undisturbed: tuple[Path, str], search_file: Path
) -> None:
    home, _ = undisturbed
    refused = call(
        *("pyrite", "run", search_file, "--home", home, "--seed", 4), cwd=home.parent, code=2
    )
    assert refused.stdout == ""
    assert refused.stderr.startswith(f"Error: a search called {NAME} exists")
    assert "seed" in refused.stderr
    assert refused.stderr.count("\n") == 1
    assert_same(home, alone)


# ------------------------------------------------------------------ by FireWorks' own commands


def test_fireworks_own_commands_run_the_same_search(
    alone: Trace, search_file: Path, home: Path, tmp_path: Path
) -> None:
    """Also when a batch system ends one in the middle of a training."""
    call("pyrite", "write", search_file, "-o", "wf.yaml", cwd=tmp_path)
    call("pyrite", "store", "start", "--home", home, cwd=tmp_path)
    launchpad = ("-l", home / "my_launchpad.yaml")
    rapidfire = (*launchpad, "-w", home / "my_fworker.yaml", "rapidfire")
    call("lpad", *launchpad, "add", "wf.yaml", cwd=tmp_path)

    first = Command("rlaunch", *rapidfire, cwd=tmp_path)
    with launchpad_of(home, first) as connection:
        wait(lambda: stopped_in_training(first, connection), first)
        first.process.terminate()  # pending until it goes on
        first.process.send_signal(signal.SIGCONT)
        first.end(-signal.SIGTERM)
        assert training(connection), "the training was over before its process was"
        assert not snapshot(connection, NAME).in_state("FIZZLED")
    call("lpad", *launchpad, "detect_lostruns", "--time", 0, "--rerun", cwd=tmp_path)
    call("rlaunch", *rapidfire, cwd=tmp_path)

    said = call("pyrite", "results", NAME, "--json", "--home", home, cwd=tmp_path).stdout
    document = json.loads(said)
    assert alone.result is not None
    assert (document["name"], document["state"], document["iterations"]) == (NAME, "done", 2)
    assert document["ledger"]["reference_calls"] == alone.result.ledger.reference_calls
    assert document["ranking"] == [
        {
            **one.model_dump(mode="json", exclude={"crystal", "candidate_ids"}),
            "structure": json.loads(json.dumps(one.crystal.to_structure().as_dict())),
        }
        for one in alone.result.ranking
    ]
    assert server(home), "a store that a user started keeps running"


def training(connection: Any) -> bool:
    seen = snapshot(connection, NAME)
    return not seen.locked and bool(under_way(seen, (f"train {NAME} 1/",)))


def stopped_in_training(worker: Command, connection: Any) -> bool:
    if not training(connection):
        return False
    worker.process.send_signal(signal.SIGSTOP)
    time.sleep(0.05)  # what it had sent is written
    if training(connection):
        return True
    worker.process.send_signal(signal.SIGCONT)
    return False


# ------------------------------------------------------------------ disturbed
# Kills of workers are in test_larger_cells.py, and more of all kinds in benchmarks/torture.py.


# What records had not when the first version wrote them.
LATER = {
    "searches": (
        *("recipe", "execution.priority", "selection.random_share", "selection.skip_known"),
        *("convergence.confirm", "convergence.patience", "reference.gpaw", "reference.vasp"),
        *("reference.max_energy", "pool.max_orbits", "surrogate.norm_epsilon"),
        "convergence.label_energies",
    ),
    "iterations": ("larger_cells", "unchanged_before", "confirmed"),
    "labels": ("provenance.details",),
}


LEFT_ALONE = f"{NAME}: nobody is at work on it; pyrite run goes on, or a worker beside"


def status(home: Path) -> str:
    return call("pyrite", "status", "--home", home, cwd=home).stdout


def test_ctrl_c_a_new_version_a_killed_command_and_a_killed_database(
    alone: Trace, search_file: Path, home: Path, tmp_path: Path
) -> None:
    """It is stopped in iteration 0, when records and the only workflow of the first version were as
    they are now but for what came later; iteration 1 becomes a workflow of its own."""
    arguments = ("run", search_file, "--home", home, "--workers", 1)
    run = Command("pyrite", *arguments, cwd=tmp_path)
    caught = catch(home, NAME, (f"train {NAME} 0/",), run, settle=0.05)
    assert LEFT_ALONE not in status(home)
    run.process.send_signal(signal.SIGINT)
    wait(lambda: pending(caught.pid, signal.SIGTERM), run)
    os.kill(caught.pid, signal.SIGCONT)
    said = run.end(130)
    assert LEFT_ALONE in status(home)
    assert said.endswith("stopped; the same command resumes\n")
    assert anybody_left(home) == []
    with attached(home, create=False) as session:
        states = {one.name: one.state for one in snapshot(session.launchpad, NAME).members}
        for collection, fields in LATER.items():
            prefix = "config." if collection == "searches" else ""
            unset = {"$unset": {f"{prefix}{field}": 1 for field in fields}}
            assert session.store.database[collection].update_many({}, unset).modified_count
    assert states[caught.firework.name] == "READY", "a training was interrupted, and has not failed"
    assert {"FIZZLED", "RUNNING", "RESERVED"}.isdisjoint(states.values())

    run = Command("pyrite", *arguments, cwd=tmp_path)
    early = (f"train {NAME} 1/", f"relax {NAME} 1/")
    caught = catch(home, NAME, early, run, settle=0)
    run.process.kill()
    run.end(-signal.SIGKILL)
    os.kill(caught.pid, signal.SIGCONT)
    wait(lambda: not any("pyrite.launchers.workers" in line for line in anybody_left(home)))

    run = Command("pyrite", *arguments, cwd=tmp_path)
    # Short tasks: where one is missed, the other will do.
    late = (f"relax {NAME} 1/", f"validate {NAME} ")
    caught = catch(home, NAME, late, run, settle=0)
    os.kill(server(home), signal.SIGKILL)
    os.kill(caught.pid, signal.SIGCONT)
    run.end()
    assert_same(home, alone)
