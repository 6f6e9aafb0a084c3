"""Peak memory of relaxing a pool, by the size of the pool.

    python -m benchmarks.memory --pool 500 10000 --json FILE

Si16 and five SO3net members at 7 Å over an embedded store. Each size runs in a process of its
own, which does what a worker does in the second iteration of a search: the RelaxPool tasks, one
after another, with anchors among the labels and with the relaxations of the first iteration.
Relaxations end after a step, so cells that shrink and gain neighbours are not among them.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.side_by_side import architecture, crystals, machine, networks
from pyrite.config import RelaxationConfig, Representation, SearchConfig, SurrogateConfig
from pyrite.documents import (
    Candidate,
    Choice,
    Crystal,
    Label,
    LabelStatus,
    Origin,
    Provenance,
    Relaxation,
    Search,
    StopReason,
    TrainedMember,
)
from pyrite.firetasks.relax_pool import RelaxPool
from pyrite.launchers.local_store import LocalStore
from pyrite.models import partition
from pyrite.models.networks import save_network
from pyrite.pool_config import PoolConfig
from pyrite.store import Store

DATABASE = "memory"
DISTINCT = 500
LABELS = 100


def relax_pool(name: str, uri: str) -> dict[str, Any]:
    """Relax a stored pool and say what it took."""
    with Store.connect(uri, DATABASE) as store:
        config = store.get_search(name).config
        peaks = []
        for shard in range(partition.shards(config, larger=True)):
            task = RelaxPool(search_id=name, iteration=1, shard=shard)
            task.store = store
            task.work()
            peaks.append(round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))
        relaxed = sum(one.candidates for one in store.shard_costs(name))
    return {
        "pool": config.pool.size,
        "relaxed": relaxed,
        "peak_mb": peaks[-1],
        "peak_mb_after_each_shard": peaks,
    }


def fill(store: Store, size: int) -> str:
    """Write a search that has an iteration behind it; returns its name.

    Crystals repeat after 500, since drawing them takes longest.
    """
    name = f"pool-{size}"
    surrogate = architecture(Representation.SO3NET, 7.0)
    config = SearchConfig(
        composition="Si16",
        pool=PoolConfig(size=size),
        surrogate=surrogate,
        relaxation=RelaxationConfig(max_steps=1, max_relative_uncertainty=1e9),
    )
    store.create_search(Search(search_id=name, config=config, created=time.time()))
    distinct = crystals("Si16", min(size, DISTINCT), seed=1)
    for start in range(0, size, len(distinct)):
        names = [f"c{k:05d}" for k in range(start, min(start + len(distinct), size))]
        pairs = list(zip(names, distinct, strict=False))
        store.put_candidates([pooled(name, one, crystal) for one, crystal in pairs])
        store.put_relaxations([relaxed_before(name, one, crystal) for one, crystal in pairs])
        if start == 0:
            store.put_labels([labelled(name, one, crystal) for one, crystal in pairs[:LABELS]])
    for number, network in enumerate(networks(surrogate)):
        store.put_member(trained(name, number, surrogate), save_network(network, surrogate))
    return name


def pooled(search_id: str, candidate_id: str, crystal: Crystal) -> Candidate:
    """A crystal of the pool."""
    return Candidate(
        search_id=search_id, candidate_id=candidate_id, origin=Origin.P1, crystal=crystal
    )


def labelled(search_id: str, candidate_id: str, crystal: Crystal) -> Label:
    """A label of the first iteration; lower the later its name."""
    return Label(
        search_id=search_id,
        iteration=0,
        candidate_id=candidate_id,
        choice=Choice.RANDOM,
        crystal=crystal,
        status=LabelStatus.OK,
        energy=-float(candidate_id[1:]),
        forces=tuple((0.0, 0.0, 0.0) for _ in crystal.numbers),
        stress=((0.0, 0.0, 0.0),) * 3,
        provenance=Provenance(engine="none", engine_version="0", seconds=0.0, reference_calls=1),
    )


def relaxed_before(search_id: str, candidate_id: str, crystal: Crystal) -> Relaxation:
    """What the first iteration made of a crystal."""
    return Relaxation(
        search_id=search_id,
        iteration=0,
        candidate_id=candidate_id,
        stop=StopReason.CONVERGED,
        steps=1,
        energy=0.0,
        energy_spread=0.0,
        fmax=0.0,
        uncertainty=0.0,
        descriptor=(0.0,) * 64,
        crystal=crystal,
    )


def trained(search_id: str, member: int, surrogate: SurrogateConfig) -> TrainedMember:
    """Facts about a network that was not trained."""
    return TrainedMember(
        search_id=search_id,
        iteration=1,
        member=member,
        architecture=surrogate.model_dump(mode="json"),
        format_version=1,
        labels=LABELS,
        left_out=0,
        epochs=0,
        seconds=0.0,
        energy_mae=0.0,
        force_mae=0.0,
        stress_mae=0.0,
    )


def main() -> None:
    """Measure every size in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pool", type=int, nargs="+", default=[500, 10_000])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--relax", help=argparse.SUPPRESS)
    parser.add_argument("--uri", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.relax:
        print(json.dumps(relax_pool(arguments.relax, arguments.uri)))
        return
    rows = []
    with tempfile.TemporaryDirectory() as directory:
        server = LocalStore(Path(directory))
        server.start()
        try:
            for size in arguments.pool:
                with Store.connect(server.uri, DATABASE) as store:
                    name = fill(store, size)
                command = [sys.executable, "-m", "benchmarks.memory", "--relax", name]
                done = subprocess.run(
                    [*command, "--uri", server.uri], check=True, capture_output=True, text=True
                )
                rows.append(json.loads(done.stdout.splitlines()[-1]))
                print(rows[-1], flush=True)
        finally:
            server.stop()
    if arguments.json:
        result = {"machine": machine(), "rows": rows}
        arguments.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
