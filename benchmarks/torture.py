"""A search whose workers, database and batch job are killed again and again, and what it came to.

    python -m benchmarks.torture --json FILE          # 1000 fireworks
    python -m benchmarks.torture --quick --json FILE  # 300 fireworks, under 20 minutes: kills end
                                                      # after ten, on machines of any speed

``pyrite run`` supervises workers, ``pyrite maintain`` looks after a Slurm job that works beside
them (on a Slurm of one node, where it is installed). Every few seconds a random worker is killed
(kill -9), twice the database, and once the Slurm job is cancelled. What is found at the end is
compared with the same search in one process that nobody disturbs: ranking and labels to the last
digit, and what the ledger counts. Residue is what is left behind after a last ``pyrite
maintain``: how many of what, and empty if there is nothing.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from benchmarks import slurm_node, stored
from pyrite.config import SearchConfig
from pyrite.documents import Label
from pyrite.launchers.bookkeeping import snapshot
from pyrite.launchers.local_store import LocalStore
from pyrite.launchers.registry import registered
from pyrite.launchers.session import attached
from pyrite.models.search import run_search
from pyrite.results import Result
from pyrite.search_file import load_search

NAME = "tortured"
BIN = Path(sys.executable).parent
SEARCH = f"""
name: {NAME}
composition: Na2Cl2
seed: {{seed}}
pool: {{{{size: 36, symmetric_share: 0}}}}
surrogate: {{{{members: 2, features: 12, radial_basis: 8, cutoff: 4.5, interactions: 1}}}}
training: {{{{updates: 120, warm_updates: 60}}}}
selection: {{{{first_labels: 12, labels: 10, skip_known: false}}}}
relaxation: {{{{max_steps: 25, anchors: 2}}}}
convergence: {{{{max_iterations: {{iterations}}, min_iterations: {{iterations}}}}}}
validation: {{{{top_k: 4, max_steps: 15}}}}
execution:
  {{{{labels_per_task: 1, members_per_task: 1, candidates_per_task: 3, checkpoint_seconds: 1}}}}
"""
PATIENCE = 3 * 3600.0  # s


class Watched:
    """What a search in one process comes to."""

    def __init__(self, config: SearchConfig, directory: Path) -> None:
        self.labels: list[Label] = []
        self.result: Result = run_search(config, directory, observer=self)

    def __call__(self, iteration: Any, relaxations: Any, labels: Any, members: Any) -> None:
        """See :class:`pyrite.models.search.Observer`."""
        self.labels = list(labels)


@dataclass
class Torturer:
    """Kills at random, and counts."""

    home: Path
    rng: random.Random
    database_at: list[int]  # fireworks completed
    counts: dict[str, int] = field(
        default_factory=lambda: {"kills": 0, "database_kills": 0, "scancels": 0, "restarts": 0}
    )

    def kill_a_worker(self) -> None:
        """Kill -9 one of those that live."""
        alive = [one.pid for one in registered(self.home, NAME) if one.is_alive()]
        if alive:
            with suppress(ProcessLookupError):
                os.kill(self.rng.choice(alive), signal.SIGKILL)
                self.counts["kills"] += 1

    def kill_the_database(self, completed: int) -> None:
        """Kill -9 it when the search has come so far."""
        if self.database_at and completed >= self.database_at[0]:
            self.database_at.pop(0)
            pid = LocalStore(self.home).status().pid
            if pid is not None:
                os.kill(pid, signal.SIGKILL)
                self.counts["database_kills"] += 1

    def completed(self) -> int:
        """Fireworks done so far; none if the database is away."""
        with suppress(Exception):
            from fireworks import LaunchPad

            launchpad = LaunchPad.from_file(str(self.home / "my_launchpad.yaml"))
            try:
                return int(launchpad.fireworks.count_documents({"state": "COMPLETED"}))
            finally:
                launchpad.connection.close()
        return 0


def tortured(
    given: argparse.Namespace, directory: Path, cluster: dict[str, str] | None
) -> dict[str, Any]:
    """Run the search to its end among kills."""
    home, search_file = directory / "home", directory / "search.yaml"
    search_file.write_text(SEARCH.format(seed=given.seed, iterations=given.iterations))
    total = 28 * given.iterations
    torturer = Torturer(home, random.Random(given.seed), [total // 4, total // 2])
    command = [str(BIN / "pyrite"), "run", str(search_file), "--home", str(home)]
    command += ["--workers", str(given.workers), "--no-live"]
    deadline = time.monotonic() + PATIENCE
    mercy = time.monotonic() + given.kill_for
    with ExitStack() as stack:
        log = stack.enter_context((directory / "run.log").open("ab"))
        running = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        stack.callback(end, running)
        while not (home / "my_launchpad.yaml").exists() and running.poll() is None:
            time.sleep(0.5)
        keeper = [str(BIN / "pyrite"), "maintain", "--every", "5", "--lost-after", "40"]
        maintain = subprocess.Popen(
            [*keeper, "--home", str(home)], stdout=log, stderr=log, env=cluster or os.environ
        )
        stack.callback(end, maintain)
        job = submitted(home, cluster)
        while True:
            code = running.poll()
            if code == 0 or time.monotonic() > deadline:
                break
            if code is not None:  # it gave up: the same command resumes
                torturer.counts["restarts"] += 1
                running = subprocess.Popen(command, stdout=log, stderr=log)
                stack.callback(end, running)
            time.sleep(torturer.rng.uniform(*given.pause))
            enough = torturer.counts["kills"] >= given.kills or time.monotonic() > mercy
            if not enough:
                torturer.kill_a_worker()
            done = torturer.completed()
            torturer.kill_the_database(done)
            if job is not None and done > total // 3:
                subprocess.run(["scancel", "--signal=KILL", "--full", job], env=cluster, check=True)
                torturer.counts["scancels"] += 1
                job = None
        code = running.wait()
    return {"exit_code": code, **torturer.counts}


def submitted(home: Path, cluster: dict[str, str] | None) -> str | None:
    """A Slurm job that works at the same search; its number."""
    if cluster is None:
        return None
    worker = f"{BIN / 'rlaunch'} -l {home / 'my_launchpad.yaml'} rapidfire --nlaunches infinite"
    done = subprocess.run(
        ["sbatch", "--parsable", "--output=/dev/null", "--wrap", f"{worker} --sleep 1"],
        env=cluster,
        cwd=home,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def end(process: subprocess.Popen[bytes]) -> None:
    """End a command that may still run."""
    process.terminate()
    try:
        process.wait(60)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def compared(home: Path, alone: Watched) -> dict[str, Any]:
    """What is left, and whether it is what it should be."""
    last = [str(BIN / "pyrite"), "maintain", "--lost-after", "40", "--home", str(home)]
    subprocess.run(last, check=True)
    with attached(home, create=False) as session:
        store, seen = session.store, snapshot(session.launchpad, NAME)
        result, labels = store.result(NAME), store.labels(NAME)
        ids = [one.fw_id for one in seen.members]
        running = {"fw_id": {"$in": ids}, "state": {"$in": ["RUNNING", "RESERVED"]}}
        residue = {
            "fireworks_not_completed": sum(one.state != "COMPLETED" for one in seen.members),
            "fireworks_of_no_workflow": len(seen.fireworks) - len(seen.members),
            "states_that_disagree": sum(
                seen.state_in_workflow(one.fw_id) != one.state for one in seen.members
            ),
            "locked_workflows": int(seen.locked),
            "launches_under_way": session.launchpad.launches.count_documents(running),
            "shards_half_written": sum(not one.finished for one in store.shard_costs(NAME)),
        }
    residue["processes"] = sum(
        str(home) in " ".join(one.info["cmdline"] or [])
        for one in psutil.process_iter(["cmdline"])
        if one.info["cmdline"]
    )
    counts = ("reference_calls", "reference_calls_first_found", "failed_labels")
    return {
        "fireworks": len(seen.members),
        "same_ranking": result is not None and result.ranking == alone.result.ranking,
        "same_labels": result is not None and told(labels) == told(alone.labels),
        "same_ledger": result is not None
        and all(getattr(result.ledger, x) == getattr(alone.result.ledger, x) for x in counts),
        "residue": {name: number for name, number in residue.items() if number},
        "residue_looked_for": sorted(residue),
    }


def told(labels: list[Label]) -> list[Any]:
    """What a label says, without when and where it was made."""
    return sorted(
        (one.iteration, one.candidate_id, one.status, one.energy, one.forces) for one in labels
    )


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="300 fireworks")
    parser.add_argument("--iterations", type=int, help="about 28 fireworks each")
    parser.add_argument("--workers", type=int, default=6)
    parser.add_argument("--pause", type=float, nargs=2, default=(2.0, 6.0), help="between kills, s")
    parser.add_argument("--kills", type=int, default=10**9, help="of workers, at most")
    parser.add_argument(
        "--kill-for", type=float, help="seconds; default: 600 with --quick, else to the end"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args(argv)
    given.iterations = given.iterations or (11 if given.quick else 36)
    given.kill_for = given.kill_for or (600.0 if given.quick else PATIENCE)
    started = time.monotonic()
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        search_file = directory / "alone.yaml"
        search_file.write_text(SEARCH.format(seed=given.seed, iterations=given.iterations))
        alone = Watched(load_search(search_file), directory / "alone")
        began = time.monotonic()
        cluster = None
        if not slurm_node.missing():
            cluster = stack.enter_context(slurm_node.slurm(directory / "slurm"))
        found = tortured(given, directory, cluster)
        found |= compared(directory / "home", alone)
    found |= {
        "workers": given.workers,
        "seconds_between_kills": list(given.pause),
        "killed_for_seconds": given.kill_for,
        "seed": given.seed,
        "seconds_alone": round(began - started, 1),
        "seconds": round(time.monotonic() - began, 1),
        "machine": stored.machine(),
    }
    if given.json is not None:
        stored.update(given.json, lambda _: found)
    print(found)


if __name__ == "__main__":
    main()
