"""``pyrite replay``: search again with the labels of a search in the store."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from pyrite.documents import Iteration, Label, Relaxation, TrainedMember
from pyrite.errors import ConfigError
from pyrite.launchers.runner import preflight, require_reference
from pyrite.models.generation import generate_pool
from pyrite.models.recipe import recipes
from pyrite.models.replay import NoReference, Recorded, require_same_reference
from pyrite.models.search import run_search
from pyrite.results import Result
from pyrite.search_file import load_search
from pyrite.store import Store


def replay(
    store: Store, name: str, path: Path | None, console: Console, *, calculate: bool
) -> Result:
    """Run a search in this process, with the reference calculations of another one.

    Parameters
    ----------
    name : of the search whose records answer
    path : search file with other rules; without, those of the search itself
    calculate : whether the reference may make what the records have not

    Raises
    ------
    ConfigError
        The file asks for another composition or another reference.
    RecordsEnd
        The records lack something, and nothing may be calculated.
    """
    old = store.get_search(name).config
    config = old if path is None else load_search(path)
    if config.composition != old.composition:
        raise ConfigError(
            f"composition is {config.composition}, and {old.composition} in {name}: labels of "
            "other cells answer nothing"
        )
    require_same_reference(config, old)
    iterations = store.iterations(name)
    recorded = Recorded.of(name, iterations, store.labels(name), store.validations(name))
    # Drawn from the same settings, the pool is that of the store: its files may have gone, and
    # another PyXtal draws other crystals.
    if iterations and (config.seed, recipes(config)) == (old.seed, recipes(old)):
        pool = store.candidates(name)
    else:
        pool = generate_pool(config, *preflight(config, reference=False))
    if calculate:
        require_reference(config)
    with tempfile.TemporaryDirectory() as scratch:
        return run_search(
            config,
            Path(scratch),
            engine=None if calculate else NoReference(name),
            observer=_Report(console, recorded),
            recorded=recorded,
            pool=pool,
        )


class _Report:
    """A line for each iteration; see :class:`pyrite.models.search.Observer`."""

    def __init__(self, console: Console, recorded: Recorded) -> None:
        self.console, self.recorded = console, recorded

    def __call__(
        self,
        iteration: Iteration,
        relaxations: Sequence[Relaxation],
        labels: Sequence[Label],
        members: Sequence[TrainedMember],
    ) -> None:
        new = [one for one in labels if one.iteration == iteration.iteration]
        known = sum(one.crystal in self.recorded.labels for one in new)
        verdict = iteration.convergence.reason if iteration.convergence else ""
        self.console.print(
            f"iteration {iteration.iteration}: {known} of {len(new)} labels recorded; {verdict}",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
