"""The row of a search that ran by itself, with workers of its own, here or on a cluster.

    pyrite run search.yaml --name si16
    python -m benchmarks.of_search --system si16 --search si16

`benchmarks.sample_efficiency` runs a search in one process; this reads one that has ended, or
failed, from its store. It has to have the settings of the preset, but for seed and reference
(``reference: {engine: sevennet}``). ``seconds`` are those of reference, training and relaxation
together, whoever made them and whenever. A row of the same settings that is there already stays.
"""

import argparse
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import stored
from benchmarks.discovery import Discovery
from benchmarks.efficiency_rows import (
    CONTENTS,
    calls_of,
    configuration,
    failure,
    known,
    outcome,
    point_of,
    settings_of,
    with_row,
)
from benchmarks.sample_efficiency import Reference, sentence
from benchmarks.sections import RESULTS
from pyrite.config import SearchConfig
from pyrite.documents import SearchState
from pyrite.errors import ConfigError, PyriteError
from pyrite.launchers.session import attached
from pyrite.store import Store


def require_preset(config: SearchConfig, system: str, recipe: str) -> None:
    """Refuse another search than the preset's.

    Raises
    ------
    ConfigError
        It has other settings, but for seed and reference.
    """
    preset = configuration(system, recipe, config.reference.engine, config.seed)
    if settings_of(config) != settings_of(preset):
        raise ConfigError(f"the search has other settings than {system} ({recipe}): run the preset")


def row_of(store: Store, name: str, discovery: Discovery) -> dict[str, Any]:
    """What `benchmarks.efficiency_rows.pyrite_row` gives, of a search in a store.

    Raises
    ------
    ConfigError
        The search has not ended.
    """
    search, result = store.get_search(name), store.result(name)
    if search.state not in {SearchState.DONE, SearchState.FAILED}:
        raise ConfigError(f"{name} is {search.state}: run it to its end")
    labels, validations = store.labels(name), store.validations(name)
    curve = []
    for iteration in store.iterations(name):
        k = iteration.iteration
        learned = [one for one in labels if one.iteration <= k]
        before = calls_of([*learned, *(one for one in validations if one.iteration < k)])
        if iteration.top:
            discovery.look(iteration, learned, before)
            mine = calls_of(one for one in validations if one.iteration == k)
            curve.append(point_of(iteration, learned, before + mine))
    every = [one.provenance for one in (*labels, *validations)]
    costs = (*store.members_facts(name), *store.shard_costs(name), *every)
    row = failure(str(search.error)) if result is None else outcome(result, discovery)
    return row | {
        "reference_calls": calls_of([*labels, *validations]),
        "seconds": round(sum(one.seconds for one in costs), 1),
        "ground_state_ev_per_atom": discovery.lowest,
        "curve": curve,
        "settings": settings_of(search.config),
    }


def main() -> None:
    try:
        _main()
    except PyriteError as error:
        sys.exit(f"Error: {error}")


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--home", type=Path, default=Path(".pyrite"))
    parser.add_argument("--search", required=True, help="its name in the store")
    parser.add_argument("--system", choices=CONTENTS, required=True)
    parser.add_argument("--recipe", choices=("fast", "paper"), default="fast")
    parser.add_argument(
        "--json", type=Path, help="default: results/sample_efficiency-REFERENCE.json"
    )
    given = parser.parse_args()
    with attached(given.home, create=False) as session, tempfile.TemporaryDirectory() as scratch:
        config = session.store.get_search(given.search).config
        require_preset(config, given.system, given.recipe)
        engine = config.reference.engine
        row = {"system": given.system, "method": "pyrite", "recipe": given.recipe}
        row |= {"reference": engine, "seed": config.seed}
        path = given.json or RESULTS / f"sample_efficiency-{engine}.json"
        if known(path, row, config) is not None:
            parser.error(f"{path} has a row of that system, reference and seed: remove it first")
        reference = Reference(engine, Path(scratch))
        ground = reference.ground(CONTENTS[given.system])
        discovery = Discovery(reference.engine, *ground, larger=config.larger is not None)
        row |= row_of(session.store, given.search, discovery)
    stored.update(path, partial(with_row, row))
    print(sentence(row))


if __name__ == "__main__":
    main()
