"""Share of the time that is neither reference, nor training, nor relaxation.

    python -m benchmarks.overhead --json benchmarks/results/overhead.json

A search with labels of 1 s (a pair potential that sleeps) over an embedded store, run by
``pyrite run`` with its supervisor, at 100, 1000 and 4000 fireworks. 4000 fireworks would take
hours: those of the past are written straight into the database, by FireWorks' own classes and
by iterations, with launches, labels (2000 at most) and the records of their iterations. Two
real iterations follow; the first imports and warms up, the second is measured, from the end of
one convergence check to the end of the next. What its labels, networks and shards say that they
took is taken off; the rest is overhead: clustering and the check (``selection``), reading and
writing in all other tasks (``in_tasks``), and what lies between tasks (``between``): FireWorks, the
database, and waiting. Once with one label in a firework, once with thirty, the default.

``--operations`` measures what taking and completing one firework costs by itself, and a look of
the supervisor, with iterations as workflows of their own and, for comparison, with all of them in
one.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import yaml
from fireworks import Firework, FWAction, FWorker, LaunchPad, Workflow
from fireworks.core.firework import Launch
from pymongo import monitoring

from benchmarks import sleeping_maker
from benchmarks.stored import machine
from pyrite.config import SearchConfig
from pyrite.documents import Convergence, Iteration, Label, Search, SearchState
from pyrite.firetasks import loop
from pyrite.launchers.bookkeeping import unfinished
from pyrite.launchers.local_store import LocalStore, connect
from pyrite.launchers.own_tasks import IN_PLACE
from pyrite.models import steps
from pyrite.models.engines import make_engine
from pyrite.models.generation import generate_pool
from pyrite.models.selection import first_picks
from pyrite.mongo import take_numbers
from pyrite.search_file import load_search
from pyrite.settings import settings
from pyrite.store import Store
from pyrite.workflows.iteration import iteration_workflow

NAME = "overhead"
PICKS = 30
MOST_LABELS = 2000
SETTINGS: dict[str, Any] = {
    "name": NAME,
    "composition": "Na4Cl4",
    "reference": {
        "engine": "maker",
        "static_maker": "benchmarks.sleeping_maker.SleepingMaker",
        "relax_maker": "benchmarks.sleeping_maker.SleepingMaker",
    },
    "pool": {"size": 60, "symmetric_share": 0},
    "surrogate": {
        "members": 2,
        "features": 32,
        "radial_basis": 12,
        "cutoff": 5.0,
        "interactions": 2,
    },
    "training": {"updates": 200, "warm_updates": 200},
    "selection": {"first_labels": PICKS, "labels": PICKS, "skip_known": False},
    "relaxation": {"max_steps": 40},
    "convergence": {"min_iterations": 5000, "max_iterations": 5000},
}
ROOT = Path(__file__).parent.parent
PYRITE = Path(sys.executable).parent / "pyrite"
PATIENCE = 1800.0  # s


# ------------------------------------------------------------------ a past


@dataclass(frozen=True)
class Past:
    """What a search has come to: ``iterations`` are completed, the next one is about to begin."""

    config: SearchConfig
    fireworks: int
    iterations: int


def write_past(launchpad: LaunchPad, store: Store, config: SearchConfig, fireworks: int) -> Past:
    """Write a search of at least so many completed fireworks, and add its next iteration."""
    store.create_search(Search(search_id=NAME, config=config, created=time.time()))
    store.set_state(NAME, SearchState.RUNNING)
    candidates = generate_pool(config)
    store.put_candidates(candidates)
    first = Iteration(search_id=NAME, iteration=0, picks=first_picks(candidates, config))
    per_iteration = len(iteration_workflow(config, NAME, 0, len(first.picks), larger=True).fws)
    count = -(-fireworks // per_iteration)
    each = min(PICKS, max(1, MOST_LABELS // count))
    labels = calculated(config, count * each)
    verdict = Convergence(converged=False, agreeing=0, compared=10, reason="made up")
    for k in range(count):
        now = {"iteration": k}
        done = {"next_picks": first.picks, "clusters": 30, "noise": 5, "convergence": verdict}
        store.put_iteration(first.model_copy(update={**now, **done}))
        mine = labels[k * each : (k + 1) * each]
        store.put_labels([one.model_copy(update=now) for one in mine])
        workflow = iteration_workflow(config, NAME, k, len(first.picks), larger=True)
        write_completed(launchpad, workflow)
    store.put_iteration(first.model_copy(update={"iteration": count}))
    following = iteration_workflow(config, NAME, count, len(first.picks), larger=True)
    loop.add_once(launchpad, following, f"{NAME}/{count}")
    return Past(config, count * per_iteration, count)


def calculated(config: SearchConfig, number: int) -> Sequence[Label]:
    """Labels of so many random crystals, made at once."""
    pool = config.pool.model_copy(update={"size": number})
    selection = config.selection.model_copy(update={"first_labels": number})
    larger = config.model_copy(update={"pool": pool, "selection": selection})
    picks = first_picks(generate_pool(larger), larger)
    os.environ[sleeping_maker.SECONDS] = "0"
    try:
        with tempfile.TemporaryDirectory() as directory:
            engine = make_engine(config.reference, Path(directory), settings().machine())
            return list(steps.label(config, NAME, engine, 0, picks))
    finally:
        del os.environ[sleeping_maker.SECONDS]


def write_completed(launchpad: LaunchPad, workflow: Workflow) -> None:
    """Write a workflow as it is when all its fireworks have run."""
    fireworks = sorted(workflow.fws, key=lambda one: one.fw_id, reverse=True)
    first = launchpad.get_new_fw_id(len(fireworks))
    numbers = {one.fw_id: first + n for n, one in enumerate(fireworks)}
    first = take_numbers(launchpad.fw_id_assigner, "next_launch_id", len(fireworks))
    launches = [completed(one, numbers[one.fw_id], first + n) for n, one in enumerate(fireworks)]
    workflow._reassign_ids(numbers)
    workflow.fw_states = dict.fromkeys(workflow.fw_states, "COMPLETED")
    launchpad.launches.insert_many([one.to_db_dict() for one in launches])
    launchpad.fireworks.insert_many([one.to_db_dict() for one in fireworks])
    launchpad.workflows.insert_one(workflow.to_db_dict())


def completed(firework: Firework, fw_id: int, launch_id: int) -> Launch:
    """Mark a firework as completed by a launch, which is returned."""
    folder = "launcher_2026-11-27-12-00-00-123456"
    launch = Launch(
        "RUNNING",
        f"/scratch/{NAME}/launches/{folder}",
        FWorker(name=f"{NAME}-0123456789", query={"spec.search_id": NAME}),
        host="localhost",
        ip="127.0.0.1",
        launch_id=launch_id,
        fw_id=fw_id,
    )
    launch.state, launch.action = "COMPLETED", FWAction()
    firework.fw_id, firework.state, firework.launches = fw_id, "COMPLETED", [launch]
    return launch


@contextmanager
def opened(home: Path) -> Iterator[tuple[LaunchPad, Store]]:
    """The launchpad and the store of a home, whose server is stopped at the end."""
    server = LocalStore(home)
    server.start()
    try:
        launchpad, store = connect(home)
        with store:
            yield launchpad, store
    finally:
        server.stop()


# ------------------------------------------------------------------ a search


def measure_search(fireworks: int, per_task: int, given: argparse.Namespace) -> dict[str, Any]:
    """Run two iterations after so many fireworks, and take the second apart."""
    tasks = {"labels_per_task": per_task, "members_per_task": 1, "candidates_per_task": 35}
    document = {**SETTINGS, "execution": tasks}
    with tempfile.TemporaryDirectory() as directory:
        home, search_file = Path(directory) / "home", Path(directory) / "search.yaml"
        search_file.write_text(yaml.safe_dump(document))
        with opened(home) as (launchpad, store):
            past = write_past(launchpad, store, load_search(search_file), fireworks)
        command = [PYRITE, "run", search_file, "--home", home, "--workers", given.workers]
        path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        with (Path(directory) / "log").open("wb") as log:
            process = subprocess.Popen(
                [str(one) for one in (*command, "--no-live")],
                cwd=directory,
                env={**os.environ, "PYTHONPATH": path},
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            seconds = follow(home, process, past.iterations)
        except TimeoutError as error:
            raise SystemExit(f"{error}: {(Path(directory) / 'log').read_text()}") from None
        finally:
            process.terminate()
            process.wait()
        with opened(home) as (launchpad, store):
            parts = taken_apart(launchpad, store, past.iterations + 1)
    parts["fireworks"], parts["labels_per_task"] = past.fireworks, per_task
    busy = parts["reference"] + parts["training"] + parts["relaxation"]
    whole = given.workers * parts["wall"]
    parts["between"] = round(whole - busy - parts["selection"] - parts["in_tasks"], 2)
    return {
        **parts,
        "workers": given.workers,
        "share": round(1 - busy / whole, 4),
        "seconds_per_firework": round((whole - busy) / parts["in_iteration"], 3),
        "cpu_seconds": seconds,
        "load": round(os.getloadavg()[0], 2),
    }


def follow(home: Path, process: "subprocess.Popen[bytes]", k: int) -> dict[str, float]:
    """Wait for two iterations; CPU seconds of database and supervisor during the second."""
    marks: list[dict[str, float]] = []
    deadline = time.monotonic() + PATIENCE
    launchpad: LaunchPad | None = None
    try:
        while len(marks) < 2:
            if time.monotonic() > deadline or process.poll() is not None:
                raise TimeoutError("the search did not get through two iterations")
            time.sleep(1)
            pid = LocalStore(home).status().pid
            if launchpad is None and pid is not None:
                launchpad = LaunchPad.from_file(str(home / "my_launchpad.yaml"))
            if launchpad is not None and pid is not None and ended(launchpad, k + len(marks)):
                programs = {"database": pid, "supervisor": process.pid}
                times = {name: psutil.Process(one).cpu_times() for name, one in programs.items()}
                marks.append({name: one.user + one.system for name, one in times.items()})
    finally:
        if launchpad is not None:
            launchpad.connection.close()
    return {name: round(marks[1][name] - marks[0][name], 2) for name in marks[0]}


def ended(launchpad: LaunchPad, k: int) -> Any:
    """When the convergence check of an iteration had ended, if it has."""
    query = {"name": f"converge {NAME} {k}", "state": "COMPLETED"}
    firework = launchpad.fireworks.find_one(query, {"launches": 1})
    if firework is None:
        return None
    launch = launchpad.launches.find_one({"launch_id": firework["launches"][-1]}, {"time_end": 1})
    when = launch["time_end"]
    return datetime.fromisoformat(when) if isinstance(when, str) else when


def taken_apart(launchpad: LaunchPad, store: Store, k: int) -> dict[str, Any]:
    """Seconds of one iteration by what they were spent on."""
    began, finished = (_utc(ended(launchpad, j)) for j in (k - 1, k))
    members = [one for one in store.members_facts(NAME) if one.iteration == k]
    shards = [one for one in store.shard_costs(NAME) if one.iteration == k]
    labels = store.labels(NAME, iteration=k)
    parts = {
        "wall": (finished - began).total_seconds(),
        "reference": sum(one.provenance.seconds for one in labels),
        "training": sum(one.seconds for one in members),
        "relaxation": sum(one.seconds for one in shards),
    }
    mine = {"spec.search_id": NAME, "spec.iteration": k}
    fields = {"name": 1, "launches": 1}
    names = {one["launches"][-1]: one["name"] for one in launchpad.fireworks.find(mine, fields)}
    launches = list(launchpad.launches.find({"launch_id": {"$in": list(names)}}))
    for launch in launches:
        name = names[launch["launch_id"]].partition(" ")[0]
        kind = "selection" if name in {"select", "converge"} else "in_tasks"
        parts[kind] = parts.get(kind, 0.0) + launch["runtime_secs"]
    parts["in_tasks"] -= parts["reference"] + parts["training"] + parts["relaxation"]
    return {name: round(one, 2) for name, one in parts.items()} | {"in_iteration": len(launches)}


def _utc(when: datetime) -> datetime:
    return when if when.tzinfo else when.replace(tzinfo=UTC)


# ------------------------------------------------------------------ single operations


@dataclass
class Traffic(monitoring.CommandListener):
    """Counts commands and kilobytes, both ways."""

    counts: dict[str, float] = field(default_factory=lambda: {"commands": 0, "kilobytes": 0.0})

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        """A command was sent."""
        self.counts["commands"] += 1
        self.counts["kilobytes"] += len(str(event.command)) / 1000

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        """Its answer came."""
        self.counts["kilobytes"] += len(str(event.reply)) / 1000

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        """There was none."""


def measure_operations(fireworks: int, traffic: Traffic, *, as_one: bool) -> list[dict[str, Any]]:
    """What taking, completing and looking cost after so many fireworks."""
    config = SearchConfig(**{**SETTINGS, "execution": {"labels_per_task": 1}})
    with tempfile.TemporaryDirectory() as directory:
        home = Path(directory) / "home"
        with opened(home) as (launchpad, store):
            past = write_past(launchpad, store, config, fireworks)
            if as_one:
                join_workflows(launchpad)
            worker = FWorker(name="measured", query={"spec.search_id": NAME, **IN_PLACE})
            launches = []
            operations = {
                "checkout": lambda: launches.append(launchpad.checkout_fw(worker, directory)[1]),
                "completion": lambda: launchpad.complete_launch(launches.pop(0), FWAction()),
                "look": lambda: unfinished(launchpad, NAME),
            }
            server = psutil.Process(LocalStore(home).status().pid)
            rows = []
            for name, operation in operations.items():
                traffic.counts.update(commands=0, kilobytes=0.0)
                cpu, began, repeats = server.cpu_times(), time.perf_counter(), 10
                for _ in range(repeats):
                    operation()
                wall, after = time.perf_counter() - began, server.cpu_times()
                used = after.user + after.system - cpu.user - cpu.system
                rows.append(
                    {"operation": name, "fireworks": past.fireworks, "one_workflow": as_one}
                    | {"milliseconds": round(1000 * wall / repeats, 1)}
                    | {"database_cpu_milliseconds": round(1000 * used / repeats, 1)}
                    | {key: round(one / repeats, 1) for key, one in traffic.counts.items()}
                )
    return rows


def join_workflows(launchpad: LaunchPad) -> None:
    """Put all iterations into one workflow, as FireWorks' own additions would."""
    found = sorted(launchpad.workflows.find(), key=lambda one: min(one["nodes"]))
    whole = found[-1]
    for before, after in zip(found, [*found[1:], None], strict=True):
        for name in ("links", "parent_links", "fw_states"):
            whole[name] = {**before[name], **whole[name]}
        if after is not None:
            last, roots = (
                str(max(before["nodes"])),
                set(after["nodes"])
                - {child for children in after["links"].values() for child in children},
            )
            whole["links"][last] = sorted(roots)
            whole["parent_links"].update({str(root): [int(last)] for root in roots})
            whole["nodes"] = [*before["nodes"], *whole["nodes"]]
    launchpad.workflows.delete_many({})
    launchpad.workflows.insert_one(whole)


def main() -> None:
    """Measure every size, with and without chunks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fireworks", type=int, nargs="+", default=[100, 1000, 4000])
    parser.add_argument("--labels-per-task", type=int, nargs="+", default=[1, 30])
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--operations", action="store_true", help="measure single operations")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    rows: list[dict[str, Any]] = []
    if given.operations:
        traffic = Traffic()
        monitoring.register(traffic)
        for fireworks in given.fireworks:
            for as_one in (True, False):
                rows += measure_operations(fireworks, traffic, as_one=as_one)
                print(*rows[-3:], sep="\n", flush=True)
    else:
        for per_task in given.labels_per_task:
            for fireworks in given.fireworks:
                rows.append(measure_search(fireworks, per_task, given))
                print(rows[-1], flush=True)
    if given.json:
        known = json.loads(given.json.read_text()) if given.json.exists() else {}
        known |= {"machine": machine(), ("operations" if given.operations else "searches"): rows}
        given.json.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
