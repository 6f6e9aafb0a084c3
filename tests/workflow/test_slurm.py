"""Searches on a real Slurm of one node, with the files that ``pyrite cluster init`` writes."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from driving import ENVIRONMENT, Command, call, launchpad_of, wait

from benchmarks.slurm_node import missing, slurm
from pyrite.launchers.bookkeeping import Snapshot, snapshot
from pyrite.launchers.local_store import LocalStore
from pyrite.models.search import run_search
from pyrite.search_file import load_search

NAME = "queued"
SEARCH = f"""
name: {NAME}
composition: Na2Cl2
pool: {{size: 6, symmetric_share: 0}}
surrogate: {{members: 2, features: 8, radial_basis: 6, cutoff: 4.5, interactions: 1}}
training: {{updates: 12}}
selection: {{first_labels: 4, labels: 2}}
relaxation: {{max_steps: 5, anchors: 0}}
convergence: {{max_iterations: 1, min_iterations: 1}}
validation: {{top_k: 1, max_steps: 3}}
execution: {{cpu_category: cpu, gpu_category: gpu, labels_per_task: 4, members_per_task: 2}}
"""

pytestmark = pytest.mark.skipif(bool(missing()), reason=f"not installed: {', '.join(missing())}")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with slurm(tmp_path_factory.mktemp("slurm")) as environment:
        yield {name: environment[name] for name in ("SLURM_CONF", "PATH")}


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    store = LocalStore(tmp_path / "home")
    store.start()
    yield store.home
    store.stop()


def initialised(home: Path, cluster: dict[str, str], *options: str) -> Path:
    """The folder of ``pyrite cluster init`` for the embedded store of a home."""
    uri = LocalStore(home).uri
    folder = home.parent / "cluster"
    call(
        *("pyrite", "cluster", "init", folder, "--gpus", "0", *options),
        cwd=home.parent,
        PYRITE_DATABASE_URI=uri,
        **cluster,
    )
    return folder


def test_a_search_goes_through_the_queue_to_its_ranking(
    home: Path, cluster: dict[str, str], tmp_path: Path
) -> None:
    search_file = tmp_path / "search.yaml"
    search_file.write_text(SEARCH)
    alone = run_search(load_search(search_file), tmp_path / "alone")
    folder = initialised(home, cluster, "--workers", "2", "--idle", "3")
    call("pyrite", "write", search_file, cwd=tmp_path)
    call("lpad", "add", tmp_path / "wf.yaml", cwd=folder)
    endless = ("rapidfire", "-m", "1", "--nlaunches", "infinite", "--sleep", "2")
    with launchpad_of(home) as launchpad, ExitStack() as stack:
        for category in ("cpu", "gpu"):
            command = ("qlaunch", "-c", category, *endless)
            stack.callback(ended, Command(*command, cwd=folder, **cluster))

        done = -1

        def gets_on() -> Snapshot | None:
            seen = snapshot(launchpad, NAME)
            assert not seen.in_state("FIZZLED"), logs(folder)
            new = len(seen.in_state("COMPLETED")) > done
            return seen if new or seen.is_complete else None

        while not (seen := wait(gets_on)).is_complete:
            done = len(seen.in_state("COMPLETED"))
        launches = launchpad.launches.distinct("launch_dir")
    wait(lambda: not queue(cluster))
    assert len(launches) > 5
    assert all("/block_" in one for one in launches), "it was qlaunch that ran them"
    said = call("pyrite", "results", NAME, "--json", "--home", home, cwd=tmp_path).stdout
    found = json.loads(said)
    assert [one["energy_ev_per_atom"] for one in found["ranking"]] == [
        one.energy_ev_per_atom for one in alone.ranking
    ]
    assert found["ledger"]["reference_calls"] == alone.ledger.reference_calls


def test_a_cancelled_job_is_found_by_maintain_and_a_queued_one_is_left_alone(
    home: Path, cluster: dict[str, str], tmp_path: Path
) -> None:
    search_file = tmp_path / "search.yaml"
    search_file.write_text(SEARCH.replace("size: 6", "size: 1000"))  # seconds to generate
    folder = initialised(home, cluster)
    call("pyrite", "write", search_file, cwd=tmp_path)
    call("lpad", "add", tmp_path / "wf.yaml", cwd=folder)
    reserve = ("-q", "cpu/my_qadapter_reserve.yaml", "-r")
    with launchpad_of(home) as launchpad:
        call("qlaunch", "-c", "cpu", *reserve, "singleshot", cwd=folder, **cluster)
        wait(lambda: snapshot(launchpad, NAME).in_state("RUNNING"))
        (job,) = queue(cluster)
        call_slurm("scancel", "--signal=KILL", "--full", job, cluster=cluster)
        wait(lambda: not queue(cluster))
        assert len(snapshot(launchpad, NAME).in_state("RUNNING")) == 1, "nobody noticed"
        maintain = ("pyrite", "maintain", "--lost-after", "40", "--home", home)
        said = call(*maintain, cwd=tmp_path, **cluster).stdout
        assert f"(generate {NAME}) was lost: set back" in " ".join(said.split())

        call_slurm("scontrol", "update", "PartitionName=debug", "State=DOWN", cluster=cluster)
        call("qlaunch", "-c", "cpu", *reserve, "singleshot", cwd=folder, **cluster)
        (reserved,) = snapshot(launchpad, NAME).in_state("RESERVED")
        assert reserved.launch is not None
        assert [reserved.launch.job] == queue(cluster)
        said = call(*maintain, cwd=tmp_path, **cluster).stdout
        assert said == "nothing to heal\n"
        call_slurm("scontrol", "update", "PartitionName=debug", "State=UP", cluster=cluster)
        wait(lambda: snapshot(launchpad, NAME).in_state("COMPLETED"))
        wait(lambda: not queue(cluster))


def ended(command: Command) -> None:
    """End a qlaunch that would go on for ever."""
    command.process.terminate()
    command.process.wait(30)


def queue(cluster: dict[str, str]) -> list[str]:
    """Numbers of the jobs that wait or run."""
    return call_slurm("squeue", "--noheader", "--format=%i", cluster=cluster).split()


def call_slurm(*command: str, cluster: dict[str, str]) -> str:
    done = subprocess.run(
        command, env={**ENVIRONMENT, **cluster}, capture_output=True, text=True, check=True
    )
    return done.stdout


def logs(folder: Path) -> str:
    """What failed jobs have said."""
    return "\n".join(path.read_text()[-2000:] for path in folder.rglob("*.error"))
