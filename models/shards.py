"""Relaxing the pool in shards, each of which can be left and taken up again."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pyrite.config import SearchConfig
from pyrite.documents import Candidate, Label, Relaxation, ShardCost
from pyrite.models import partition, selection
from pyrite.models.composition import cell_content
from pyrite.models.ensemble import Ensemble
from pyrite.models.ensemble_model import Prediction, predict
from pyrite.models.generation import volume_range
from pyrite.models.relaxation import Relaxed, relax
from pyrite.models.walltime import NO_DEADLINE, Deadline, OutOfTime

Keep = Callable[[Sequence[Relaxation], ShardCost], None]


@dataclass(frozen=True)
class Shard:
    """One share of the pool and of the best labelled geometries.

    Attributes
    ----------
    search_id, iteration, number
        which one
    candidates
        all that `shard_names` gives
    previous
        relaxations of the last iteration, at least those of `names_before`
    done
        relaxations that an earlier job has kept
    seconds
        that those took
    """

    search_id: str
    iteration: int
    number: int
    candidates: Sequence[Candidate]
    previous: Sequence[Relaxation] = ()
    done: Sequence[Relaxation] = ()
    seconds: float = 0.0


def shard_names(
    config: SearchConfig, shard: int, pool: Sequence[str], labels: Sequence[Label]
) -> tuple[list[str], list[Candidate]]:
    """Who is relaxed in one shard: names of the pool, and best labelled geometries.

    Parameters
    ----------
    pool : names of all candidates
    labels : all labels so far
    """
    anchors = {one.candidate_id: one for one in selection.anchors(labels, config)}
    mine = partition.share([*pool, *anchors], shard, partition.shards(config))
    return (
        [name for name in mine if name not in anchors],
        [anchors[name] for name in mine if name in anchors],
    )


def names_before(
    config: SearchConfig, iteration: int, mine: Sequence[Candidate], labels: Sequence[Label]
) -> set[str]:
    """Whose relaxations of the last iteration a shard needs: its own, and all anchors'."""
    earlier = [one for one in labels if one.iteration < iteration]
    anchors = selection.anchors(earlier, config)
    return {one.candidate_id for one in [*mine, *anchors]}


def relax_shard(
    config: SearchConfig,
    ensemble: Ensemble,
    shard: Shard,
    keep: Keep,
    deadline: Deadline = NO_DEADLINE,
) -> None:
    """Relax what is not done of a shard.

    Memory is that of the shard, whatever the size of the pool. A shard that was left and
    taken up again is the same up to rounding, since batches shape the last digits.

    Parameters
    ----------
    keep
        takes the candidates that have ended and what the shard has cost so far, once: at the
        end, or when time is up

    Raises
    ------
    OutOfTime
        When the deadline is near; at least one candidate has ended by then.
    """
    started = time.perf_counter()
    records: list[Relaxation] = []
    last = {one.candidate_id: one for one in shard.previous if not one.stop.broken}
    done = {one.candidate_id for one in shard.done}
    mine = [one for one in shard.candidates if one.candidate_id not in done]
    from_last = config.relaxation.start_from == "last"
    starts = [
        last[one.candidate_id].crystal if from_last and one.candidate_id in last else one.crystal
        for one in mine
    ]
    known = {
        one.candidate_id: earlier
        for one in mine
        if (earlier := selection.predecessor(one, last)) is not None
    }
    before = dict(
        zip(
            known,
            predict([earlier.crystal for earlier in known.values()], ensemble, config.relaxation),
            strict=True,
        )
    )

    def keep_all(*, finished: bool) -> None:
        cost = ShardCost(
            search_id=shard.search_id,
            iteration=shard.iteration,
            shard=shard.number,
            candidates=len(shard.done) + len(records),
            steps=sum(one.steps for one in [*shard.done, *records]),
            seconds=shard.seconds + time.perf_counter() - started,
            finished=finished,
            outcomes=dict(Counter(one.stop for one in [*shard.done, *records])),
        )
        keep(records, cost)

    def after_step(ended: Sequence[tuple[int, Relaxed]]) -> None:
        for index, relaxed in ended:
            name = mine[index].candidate_id
            records.append(_record(shard, mine[index], relaxed, known.get(name), before.get(name)))
        if records:
            deadline.require()

    try:
        relax(starts, ensemble, config.relaxation, mean_volume(config), after_step)
    except OutOfTime:
        keep_all(finished=False)
        raise
    keep_all(finished=True)


def _record(
    shard: Shard,
    candidate: Candidate,
    relaxed: Relaxed,
    earlier: Relaxation | None,
    before: Prediction | None,
) -> Relaxation:
    return Relaxation(
        search_id=candidate.search_id,
        iteration=shard.iteration,
        candidate_id=candidate.candidate_id,
        role=candidate.role,
        stop=relaxed.stop,
        steps=relaxed.steps,
        energy=relaxed.prediction.energy,
        energy_spread=relaxed.prediction.energy_spread,
        fmax=relaxed.prediction.fmax,
        uncertainty=relaxed.prediction.uncertainty,
        descriptor=relaxed.prediction.descriptor,
        crystal=relaxed.crystal,
        previous_energy=before.energy if before else None,
        previous_descriptor=before.descriptor if before else None,
        previous_crystal=earlier.crystal if earlier and before else None,
    )


def mean_volume(config: SearchConfig) -> float:
    """Volume scale of the search, Å³/atom."""
    if config.pool.volume_per_atom is not None:
        return sum(config.pool.volume_per_atom) / 2
    return sum(volume_range(cell_content(config.composition, config.formula_units))) / 2
