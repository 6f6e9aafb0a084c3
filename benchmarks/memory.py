"""Peak memory of relaxing a pool, by the size of the pool.

    python -m benchmarks.memory --pool 500 10000 --json FILE

Each size runs in a process of its own, over an embedded store, as the RelaxPool tasks do:
names of the pool, then one shard after another with what it needs of the database, five
SO3net members at 7 Å, Si16. Relaxations end after a step: a step more changes no memory.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.side_by_side import architecture, crystals, machine, networks
from pyrite.config import PoolConfig, RelaxationConfig, Representation, SearchConfig
from pyrite.documents import Candidate, Origin
from pyrite.launchers.local_store import LocalStore
from pyrite.models import partition, steps
from pyrite.models.networks import save_network
from pyrite.models.numerics import use_threads
from pyrite.store import Store

DISTINCT = 500


def relax_pool(size: int, uri: str) -> dict[str, Any]:
    """Relax a stored pool and say what it took."""
    use_threads(1)
    surrogate = architecture(Representation.SO3NET, 7.0)
    config = SearchConfig(
        composition="Si16",
        pool=PoolConfig(size=size),
        surrogate=surrogate,
        relaxation=RelaxationConfig(max_steps=1, max_relative_uncertainty=1e9, anchors=0),
    )
    name = f"pool-{size}"
    with Store.connect(uri, "memory") as store:
        fill(store, name, size)
        weights = [save_network(one, surrogate) for one in networks(surrogate)]
        ensemble = steps.make_ensemble(config, weights)
        relaxed = 0
        for shard in range(partition.shards(config)):
            names, _ = steps.shard_names(config, shard, store.candidate_ids(name), [])
            mine = store.candidates(name, names)
            before = store.relaxations(name, 0, names)
            records, cost = steps.relax_shard(config, name, 0, shard, ensemble, mine, before)
            store.put_relaxations(records)
            store.put_shard_cost(cost)
            relaxed += len(records)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"pool": size, "relaxed": relaxed, "peak_mb": round(peak)}


def fill(store: Store, name: str, size: int) -> None:
    """Write a pool; 500 distinct crystals over and over, since drawing them takes longest."""
    distinct = crystals("Si16", min(size, DISTINCT), seed=1)
    for start in range(0, size, len(distinct)):
        store.put_candidates(
            [
                Candidate(
                    search_id=name,
                    candidate_id=f"c{start + k:05d}",
                    origin=Origin.P1,
                    crystal=crystal,
                )
                for k, crystal in enumerate(distinct[: size - start])
            ]
        )


def main() -> None:
    """Measure every size in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pool", type=int, nargs="+", default=[500, 10_000])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--uri", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.uri:
        print(json.dumps(relax_pool(arguments.pool[0], arguments.uri)))
        return
    rows = []
    with tempfile.TemporaryDirectory() as directory:
        server = LocalStore(Path(directory))
        server.start()
        try:
            for size in arguments.pool:
                command = [sys.executable, "-m", "benchmarks.memory", "--pool", str(size)]
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
