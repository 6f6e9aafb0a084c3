"""A whole search in one process: the steps in order, without FireWorks or MongoDB.

For tests, notebooks and studies of the method. A search that must survive a
crash runs as a workflow.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from pyrite.config import SearchConfig
from pyrite.documents import (
    Candidate,
    Crystal,
    Iteration,
    Label,
    Relaxation,
    ShardCost,
    TopCluster,
    TrainedMember,
    Validation,
)
from pyrite.models import course, partition, steps
from pyrite.models.engines import make_engine
from pyrite.models.generation import generate_pool
from pyrite.models.numerics import threads
from pyrite.models.reference import ReferenceEngine
from pyrite.models.replay import Recorded
from pyrite.models.shards import Shard, relax_shard, shard_names
from pyrite.models.validation import conclude_search, reopen, validate
from pyrite.results import Result


class Observer(Protocol):
    """Called after every iteration."""

    def __call__(
        self,
        iteration: Iteration,
        relaxations: Sequence[Relaxation],
        labels: Sequence[Label],
        members: Sequence[TrainedMember],
    ) -> None:
        """See what the iteration came to; ``labels`` and ``members`` are all so far."""


def run_search(
    config: SearchConfig,
    directory: Path,
    start_structures: Sequence[Crystal] = (),
    target_structures: Sequence[Crystal] = (),
    engine: ReferenceEngine | None = None,
    observer: Observer | None = None,
    recorded: Recorded | None = None,
    pool: Sequence[Candidate] = (),
) -> Result:
    """Search, and return the ranking and the ledger.

    Parameters
    ----------
    directory : where reference calculations may write
    start_structures : candidates beside the random ones
    target_structures : the same for the target pool, where there is one
    pool : all candidates, instead of those that the settings draw
    engine : instead of the one that ``config.reference`` names
    recorded : an earlier search, whose reference calculations are not made again

    Raises
    ------
    PyriteError
        What would end the same search on FireWorks.
    """
    candidates = pool or generate_pool(config, start_structures, target_structures)
    with threads(config.execution.torch_threads):
        engine = engine or make_engine(config.reference, directory)
        return _search(config, candidates, engine, observer, recorded)


def _search(
    config: SearchConfig,
    candidates: Sequence[Candidate],
    engine: ReferenceEngine,
    observer: Observer | None,
    recorded: Recorded | None,
) -> Result:
    search_id = candidates[0].search_id
    iteration = course.first_iteration(config, search_id, candidates)
    labels: list[Label] = []
    members: list[TrainedMember] = []
    costs: list[ShardCost] = []
    iterations: list[Iteration] = []
    weights: dict[int, bytes] = {}
    relaxations: list[Relaxation] = []
    validations: list[Validation] = []
    while True:
        k = iteration.iteration
        labels += _labelled(config, iteration, engine, recorded)
        steps.require_success(config, labels, k)
        fitted = [
            one
            for part in range(partition.parts(config))
            for one in steps.train(
                config, search_id, k, partition.members(config, part), labels, weights
            )
        ]
        fitted.sort(key=lambda one: one[0].member)
        members += [facts for facts, _ in fitted]
        weights = {facts.member: data for facts, data in fitted}
        relaxations, shard_costs = _relax_pool(
            config, iteration, list(weights.values()), candidates, labels, relaxations
        )
        costs += shard_costs
        iteration = steps.cluster_and_select(config, iteration, relaxations, labels)
        iteration = steps.conclude(config, iteration, relaxations, labels, validations)
        following: Iteration | None = None
        if iteration.ended_by is None:
            following = course.next_iteration(config, iteration)
        else:
            validations += [
                _validated(config, iteration, engine, one, recorded) for one in iteration.finalists
            ]
            iteration, following = reopen(config, iteration, labels, validations)
        iterations.append(iteration)
        if observer is not None:
            observer(iteration, relaxations, labels, members)
        if following is None:
            break
        iteration = following
    return conclude_search(config, iterations, labels, members, costs, validations)


def _labelled(
    config: SearchConfig,
    iteration: Iteration,
    engine: ReferenceEngine,
    recorded: Recorded | None,
) -> Iterator[Label]:
    for pick in iteration.picks:
        where = iteration.search_id, iteration.iteration
        known = recorded.label(*where, pick) if recorded else None
        if known is not None:
            yield known
        else:
            yield from steps.label(config, iteration.search_id, engine, where[1], [pick])


def _validated(
    config: SearchConfig,
    iteration: Iteration,
    engine: ReferenceEngine,
    finalist: TopCluster,
    recorded: Recorded | None,
) -> Validation:
    known = recorded.validation(iteration, finalist) if recorded else None
    if known is not None:
        return known
    found = validate(config, iteration, engine, finalist)
    while found.interrupted:
        found = validate(config, iteration, engine, finalist, found)
    return found


def _relax_pool(
    config: SearchConfig,
    iteration: Iteration,
    weights: Sequence[bytes],
    candidates: Sequence[Candidate],
    labels: Sequence[Label],
    previous: Sequence[Relaxation],
) -> tuple[list[Relaxation], list[ShardCost]]:
    ensemble = steps.make_ensemble(config, weights)
    relaxations: list[Relaxation] = []
    costs: list[ShardCost] = []
    by_name = {one.candidate_id: one for one in candidates}

    def keep(records: Sequence[Relaxation], cost: ShardCost) -> None:
        relaxations.extend(records)
        if cost.finished:
            costs.append(cost)

    for number in range(partition.shards(config, larger=iteration.larger_cells)):
        names, anchors = shard_names(
            config, number, list(by_name), labels, larger=iteration.larger_cells
        )
        mine = [*(by_name[name] for name in names), *anchors]
        shard = Shard(iteration.search_id, iteration.iteration, number, mine, previous)
        relax_shard(config, ensemble, shard, keep)
    relaxations.sort(key=lambda one: one.candidate_id)
    return relaxations, costs
