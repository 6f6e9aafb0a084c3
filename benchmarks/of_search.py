"""The row of a search that ran by itself, with workers of its own, here or on a cluster.

    pyrite run --preset si16-si46-fast --seed 2 --name si46-2
    python -m benchmarks.of_search --system si16-si46 --search si46-2

`benchmarks.sample_efficiency` runs a search in one process; this reads one that has ended from
its store. It has to have the settings of the preset. ``seconds`` is from adding the search to its
end.
"""

import argparse
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import stored
from benchmarks.efficiency_rows import (
    CONTENTS,
    configuration,
    outcome,
    point_of,
    settings_of,
    with_row,
)
from benchmarks.sample_efficiency import RESULTS, Reference, sentence
from pyrite.documents import Crystal
from pyrite.errors import ConfigError
from pyrite.launchers.session import attached
from pyrite.store import Store


def row_of(
    store: Store, name: str, system: str, recipe: str, ground: Crystal, lowest: float
) -> dict[str, Any]:
    """What `benchmarks.efficiency_rows.pyrite_row` gives, of a search in a store.

    Raises
    ------
    ConfigError
        The search has other settings than the preset, or has not ended with a ranking.
    """
    search, result = store.get_search(name), store.result(name)
    config = search.config
    preset = configuration(system, recipe, config.reference.engine, config.seed)
    if settings_of(config) != settings_of(preset):
        raise ConfigError(f"{name} has other settings than {system} ({recipe}): run the preset")
    if result is None or search.finished is None:
        raise ConfigError(f"{name} has no ranking: it is {search.state}; run it to its end")
    labels, validations = store.labels(name), store.validations(name)
    curve = []
    for iteration in store.iterations(name):
        k = iteration.iteration
        known = [one for one in labels if one.iteration <= k]
        spent = [*known, *(one for one in validations if one.iteration <= k)]
        calls = sum(one.provenance.reference_calls for one in spent)
        curve.append(point_of(iteration, known, calls))
    return outcome(result, ground, lowest) | {
        "reference_calls": result.ledger.reference_calls,
        "seconds": round(search.finished - search.created, 1),
        "ground_state_ev_per_atom": lowest,
        "curve": curve,
        "settings": settings_of(config),
    }


def main() -> None:
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
        name = config.reference.engine
        ground, lowest = Reference(name, Path(scratch)).ground(CONTENTS[given.system])
        found = row_of(session.store, given.search, given.system, given.recipe, ground, lowest)
    row = {"system": given.system, "method": "pyrite", "recipe": given.recipe}
    row |= {"reference": name, "seed": config.seed} | found
    row |= {"machine": stored.machine(), "workers": "of its own"}
    stored.update(given.json or RESULTS / f"sample_efficiency-{name}.json", partial(with_row, row))
    print(sentence(row))


if __name__ == "__main__":
    main()
