"""Time and memory of the steps that see a whole pool, with 100 000 candidates.

    python -m benchmarks.scale --json FILE [--candidates N]

Descriptors have the spectrum of those of random Si16 cells under a PaiNN network of 64 features
(six principal axes hold 99 % of their variance). Half of a pool are clumps of very different
sizes, the rest belong to none. The hard pools have 60 % in one more clump, from one that the
radius of DBSCAN takes apart to copies of one descriptor; all of these are one crystal, diamond.
Every measurement runs in a process of its own: seconds of wall time and of its processor, peak
memory. The tasks work on an embedded store; 10 000 labels are there. The workflow is that of
iteration 0 and of as many more as hold 10 000 reference jobs, one label each.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from itertools import batched
from pathlib import Path
from typing import Any

import bson
import numpy as np
from ase.build import bulk
from fireworks import FWAction

from pyrite.config import SearchConfig
from pyrite.documents import (
    Candidate,
    Choice,
    Crystal,
    Iteration,
    Label,
    LabelStatus,
    Origin,
    Provenance,
    Record,
    Relaxation,
    Role,
    Search,
    StopReason,
)
from pyrite.firetasks import loop
from pyrite.firetasks.check_convergence import CheckConvergence
from pyrite.firetasks.cluster_select import ClusterSelect
from pyrite.launchers.local_store import LocalStore
from pyrite.models.clustering import cluster
from pyrite.models.generation import random_candidate
from pyrite.mongo import KINDS, to_mongo
from pyrite.pool_config import PoolConfig
from pyrite.store import Store
from pyrite.workflows.iteration import iteration_workflow

DATABASE, NAME = "scale", "large"
TASKS = {"ClusterSelect": ClusterSelect, "CheckConvergence": CheckConvergence}
LABELS = 10_000
DISTINCT = 3000  # crystals; drawing them takes longest
SPECTRUM = np.sqrt([37, 17, 4.6, 3.3, 1.3, 0.37, 0.27, 0.12, 0.08, 0.07, *[0.01] * 54])
BLOB = {"clumps": None, "wide": 0.1, "dense": 0.03, "denser": 0.002, "copies": 0.0}
"""Pools by the width of the clump that holds 60 % of them, in units of the pool's."""


def descriptors(size: int, pool: str) -> np.ndarray:
    """A pool's descriptors, (size, 64); those of its large clump come first."""
    rng = np.random.default_rng(1)
    axes = np.linalg.qr(rng.normal(size=(64, 64)))[0]

    def spread(count: int) -> np.ndarray:
        return (rng.normal(size=(count, 64)) * SPECTRUM) @ axes

    def clump(count: int, width: float) -> np.ndarray:
        tails = rng.lognormal(size=(count, 1))  # relaxations end at different distances
        return spread(1) + width * tails * spread(count)

    width = BLOB[pool]
    parts = [] if width is None else [clump(size * 3 // 5, width)]
    left = size - sum(map(len, parts))
    while left > (size - sum(len(one) for one in parts[:1] if width is not None)) // 2:
        count = int(min(rng.zipf(1.6), size // 10))
        parts.append(clump(count, 0.02))
        left -= count
    return np.concatenate([*parts, spread(max(left, 0))])[:size]


def diamond(seed: int) -> Crystal:
    """Si16 as a relaxation leaves it."""
    atoms = bulk("Si", "diamond", a=5.43, cubic=True) * (2, 1, 1)
    atoms.rattle(0.01, rng=np.random.default_rng(seed))
    return Crystal.from_atoms(atoms)


def fill(store: Store, size: int, pool: str) -> None:
    """Write the second iteration of a search, relaxed, with its labels."""
    # Each job has a firework of its own, and shards are as large as docs/operations.md says.
    execution = {"labels_per_task": 1, "candidates_per_task": 1000}
    selection = {"labels": 200}
    config = SearchConfig(
        composition="Si16",
        name=NAME,
        recipe="paper",
        pool=PoolConfig(size=size),
        execution=execution,
        selection=selection,
    )
    store.create_search(Search(search_id=NAME, config=config, created=time.time()))
    rng = np.random.default_rng(2)
    found = [diamond(seed) for seed in range(DISTINCT)]
    others = [random_candidate(config, Role.TRAIN, k).crystal for k in range(DISTINCT)]
    features = descriptors(size, pool)
    blob = 0 if BLOB[pool] is None else size * 3 // 5
    energies = np.where(np.arange(size) < blob, -5.4, rng.normal(-4.6, 0.3, size).clip(-5.38))
    energies += rng.uniform(0, 0.005, size)
    for some in batched(range(size), 5000):
        _insert(store, [_candidate(k, others[k % DISTINCT]) for k in some])
        ends = [(k, (found if k < blob else others)[k % DISTINCT]) for k in some]
        _insert(store, [_relaxed(k, c, energies[k], features[k], rng) for k, c in ends])
    _insert(
        store,
        [_label(k, others[k % DISTINCT] if k % 20 else found[k % DISTINCT]) for k in range(LABELS)],
    )
    store.put_iteration(Iteration(search_id=NAME, iteration=1, picks=()))


def _insert(store: Store, records: Sequence[Record]) -> None:
    """In bulk: the store itself looks each key up first."""
    collection = store.database[KINDS[type(records[0])].collection]
    collection.insert_many([to_mongo(one) for one in records])


def _candidate(index: int, crystal: Crystal) -> Candidate:
    return Candidate(
        search_id=NAME, candidate_id=f"c{index:05d}", origin=Origin.P1, crystal=crystal
    )


def _relaxed(
    index: int, crystal: Crystal, energy: float, descriptor: np.ndarray, rng: np.random.Generator
) -> Relaxation:
    stop = StopReason.CONVERGED if rng.random() < 0.8 else StopReason.UNCERTAIN
    features = descriptor.tolist()
    return Relaxation(
        search_id=NAME,
        iteration=1,
        candidate_id=f"c{index:05d}",
        stop=stop,
        steps=80,
        energy=float(energy),
        energy_spread=0.01,
        fmax=0.04,
        uncertainty=0.1,
        descriptor=features,
        crystal=crystal,
        previous_energy=float(energy),
        previous_descriptor=features,
        previous_crystal=crystal,
    )


def _label(index: int, crystal: Crystal) -> Label:
    energy = -5.4 if index % 20 == 0 else -4.6 + 0.3 * np.sin(index)
    return Label(
        search_id=NAME,
        iteration=0,
        candidate_id=f"c{index:05d}",
        choice=Choice.RANDOM,
        crystal=crystal,
        status=LabelStatus.OK,
        energy=float(energy * len(crystal.numbers)),
        forces=((0.0, 0.0, 0.0),) * len(crystal.numbers),
        stress=((0.0, 0.0, 0.0),) * 3,
        provenance=Provenance(
            engine="none", engine_version="0", settings={}, seconds=1.0, reference_calls=1
        ),
    )


def measured(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What a piece of work took, with what it tells about itself."""
    wall, cpu = time.perf_counter(), time.process_time()
    told = work()
    return {
        "seconds": round(time.perf_counter() - wall, 1),
        "cpu_seconds": round(time.process_time() - cpu, 1),
        "peak_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2, 2),
        **told,
    }


def clustered(size: int, pool: str) -> dict[str, Any]:
    """Group a pool's descriptors."""
    features = descriptors(size, pool)
    config = SearchConfig(composition="Si16", recipe="paper").selection

    def work() -> dict[str, Any]:
        found = cluster(features, config)
        largest = int(np.bincount(found.group).max())
        return {"clusters": found.clusters, "noise": found.noise, "largest": largest}

    return measured(work)


def task(uri: str, kind: str) -> dict[str, Any]:
    """One of the two tasks that load a whole pool."""
    # There is no workflow, and nothing is added to one.
    loop.is_added = lambda *_: False  # type: ignore[assignment]
    loop.iteration = loop.validation = lambda *_: FWAction()  # type: ignore[assignment]

    class Reading(Store):
        """Knows how long the whole pool took to read."""

        seconds = 0.0

        def relaxations(self, *args: Any, **kwargs: Any) -> list[Relaxation]:
            started = time.perf_counter()
            found = super().relaxations(*args, **kwargs)
            self.seconds += time.perf_counter() - started
            return found

    with Reading.connect(uri, DATABASE) as store:
        import pyrite.models.steps  # noqa: F401  # the libraries are not what is measured

        def work() -> dict[str, Any]:
            one = TASKS[kind](search_id=NAME, iteration=1)
            one.store = store
            one.work()
            done = store.iteration(NAME, 1)
            if (done.convergence is None) is (kind == "CheckConvergence"):
                raise SystemExit(f"{kind} has not done its work")
            read = round(store.seconds, 1)
            return {"reading": read, "top": len(done.top), "picks": len(done.next_picks)}

        return measured(work)


def documents(uri: str) -> dict[str, int]:
    """Largest document of each collection, bytes of BSON."""
    with Store.connect(uri, DATABASE) as store:
        names = ("searches", "candidates", "labels", "relaxations", "iterations")
        return {
            name: max(len(bson.encode(one)) for one in store.database[name].find().limit(2000))
            for name in names
        }


def workflow() -> list[dict[str, Any]]:
    """Bytes of an iteration as FireWorks keeps it, in a search with 10 000 reference jobs."""
    return [_workflow(shard, labels) for shard, labels in ((1000, 500), (100, 500), (1000, 5000))]


def _workflow(candidates_per_task: int, labels: int) -> dict[str, Any]:
    execution = {"labels_per_task": 1, "candidates_per_task": candidates_per_task}
    selection = {"first_labels": labels, "labels": labels}
    pool = PoolConfig(size=100_000)
    config = SearchConfig(
        composition="Si16", name=NAME, pool=pool, execution=execution, selection=selection
    )
    workflow = iteration_workflow(config, NAME, 1, labels, larger=True)
    return {
        "candidates_per_task": candidates_per_task,
        "labels_per_iteration": labels,
        "iterations": LABELS // labels,
        "fireworks_of_an_iteration": len(workflow.fws),
        "workflow_bytes": len(bson.encode(workflow.to_db_dict())),
        "largest_firework_bytes": max(len(bson.encode(one.to_db_dict())) for one in workflow.fws),
    }


def generation() -> list[dict[str, Any]]:
    """Candidates drawn, and what a pool of 100 000 would take at that rate."""
    rows = []
    for system in ("Si16", "Al4O6"):
        for kind, share, count in (("P1", 0.0, 1000), ("space groups", 1.0, 200)):
            pool = PoolConfig(size=100_000, symmetric_share=share)
            config = SearchConfig(composition=system, pool=pool)
            random_candidate(config, Role.TRAIN, 0)
            started = time.process_time()
            for index in range(1, count + 1):
                random_candidate(config, Role.TRAIN, index)
            each = (time.process_time() - started) / count
            rows.append(
                {
                    "system": system,
                    "kind": kind,
                    "drawn": count,
                    "cpu_ms_per_candidate": round(each * 1e3, 2),
                    "extrapolated_minutes_for_100000": round(each * 100_000 / 60, 1),
                }
            )
    return rows


def _child(*arguments: str) -> Any:
    """What this program says when it measures one thing in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.scale", *arguments]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    print(arguments[-1], done.stdout.splitlines()[-1], flush=True)
    return json.loads(done.stdout.splitlines()[-1])


def _tasks(size: int, pools: Sequence[str]) -> list[dict[str, Any]]:
    rows = []
    for pool in pools:
        with tempfile.TemporaryDirectory() as directory:
            server = LocalStore(Path(directory))
            server.start()
            try:
                started = time.perf_counter()
                with Store.connect(server.uri, DATABASE) as store:
                    fill(store, size, pool)
                print(f"{pool}: set up in {time.perf_counter() - started:.0f} s", flush=True)
                common = ("--candidates", str(size), "--uri", server.uri, "--one")
                rows += [{"pool": pool, "task": kind, **_child(*common, kind)} for kind in TASKS]
                rows.append({"pool": pool, "largest_documents": documents(server.uri)})
            finally:
                server.stop()
    return rows


def main() -> None:
    """Measure everything, one after another."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--candidates", type=int, default=100_000)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--uri", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    size = arguments.candidates
    if arguments.one:
        rows: Any = {"generation": generation, "workflow": workflow}
        if arguments.uri:
            print(json.dumps(task(arguments.uri, arguments.one)))
        elif arguments.one in rows:
            print(json.dumps(rows[arguments.one]()))
        else:
            print(json.dumps(clustered(size, arguments.one)))
        return
    common = ("--candidates", str(size), "--one")
    from benchmarks.side_by_side import machine  # torch: not in the measured processes

    result = {
        "machine": machine(),
        "candidates": size,
        "labels": LABELS,
        "clustering": [{"pool": pool, **_child(*common, pool)} for pool in BLOB],
        "workflow": _child(*common, "workflow"),
        "generation": _child(*common, "generation"),
        "tasks": _tasks(size, ("dense", "clumps")),
        "load_at_the_end": round(os.getloadavg()[0], 2),
    }
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
