"""Relaxing the pool in shards, each of which can be left and taken up again."""

import math
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pyrite.config import RelaxationConfig, SearchConfig
from pyrite.documents import Candidate, Label, Relaxation, Rest, Role, ShardCost
from pyrite.models import names, partition, selection
from pyrite.models.composition import cell_content
from pyrite.models.ensemble import Ensemble
from pyrite.models.ensemble_model import Prediction, predict
from pyrite.models.generation import volume_range
from pyrite.models.relaxation import Relaxed, relax
from pyrite.models.walltime import NO_DEADLINE, Deadline, OutOfTime
from pyrite.pool_config import Join, StartFrom

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
    config: SearchConfig,
    shard: int,
    pool: Sequence[str],
    labels: Sequence[Label],
    *,
    larger: bool,
) -> tuple[list[str], list[Candidate]]:
    """Who is relaxed in one shard: names of the pool, and best labelled geometries.

    Nobody in shards beyond their number, which a workflow made by an older Pyrite may have.

    Parameters
    ----------
    pool : names of all candidates
    labels : all labels so far
    larger : whether larger cells are relaxed
    """
    anchors = {one.candidate_id: one for one in selection.anchors(labels, config)}
    everybody = [name for name in pool if larger or names.role_of(name) is Role.TRAIN]
    count = partition.shards(config, larger=larger)
    mine = partition.share([*everybody, *anchors], shard, count) if shard < count else []
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
    known = {
        one.candidate_id: earlier
        for one in mine
        if (earlier := selection.predecessor(one, last)) is not None
    }
    before = dict(
        zip(
            known,
            predict([one.rest.crystal for one in known.values()], ensemble, config.relaxation),
            strict=True,
        )
    )
    trusted = {
        name: last[name]
        for name, now in before.items()
        if name in last and now.energy_spread <= config.convergence.max_energy_spread
    }

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

    def relax_some(some: Sequence[Candidate], how: RelaxationConfig) -> None:
        left = trusted if how.start_from is StartFrom.LAST else {}
        starts = [
            left[one.candidate_id].rest.crystal if one.candidate_id in left else one.crystal
            for one in some
        ]

        def after_step(ended: Sequence[tuple[int, Relaxed]]) -> None:
            for index, relaxed in ended:
                one = some[index]
                earlier, now = known.get(one.candidate_id), before.get(one.candidate_id)
                records.append(_record(shard, one, relaxed, earlier, now))
            if records:
                deadline.require()

        relax(starts, ensemble, how, mean_volume(config), after_step)

    try:
        for role, how in _rules(config).items():
            relax_some([one for one in mine if one.role is role], how)
    except OutOfTime:
        keep_all(finished=False)
        raise
    keep_all(finished=True)


def _rules(config: SearchConfig) -> dict[Role, RelaxationConfig]:
    """Where relaxations begin and end. The uncertain ones of small cells end where a label would
    teach most; larger cells are never labelled, so that it is no use to stop them there."""
    if config.target is None:
        return {Role.TRAIN: config.relaxation}
    limit = config.target.max_relative_uncertainty
    start_from = config.target.start_from
    if start_from is None:  # young networks spoil what they relax
        late = config.target.join is Join.CONVERGED
        start_from = StartFrom.LAST if late else config.relaxation.start_from
    target = {
        "max_relative_uncertainty": math.inf if limit is None else limit,
        "start_from": start_from,
        "look_ahead": False,  # they are not labelled where they stop
    }
    return {
        Role.TRAIN: config.relaxation,
        Role.TARGET: config.relaxation.model_copy(update=target),
    }


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
        steps=relaxed.steps,
        fmax=relaxed.prediction.fmax,
        **_rest(relaxed),
        ahead=None if relaxed.ahead is None else Rest(**_rest(relaxed.ahead)),
        previous_energy=before.energy if before else None,
        previous_energy_spread=before.energy_spread if before else None,
        previous_descriptor=before.descriptor if before else None,
        previous_crystal=earlier.rest.crystal if earlier and before else None,
    )


def _rest(end: Relaxed) -> dict[str, Any]:
    """The fields of a `Rest`."""
    shared = ("energy", "energy_spread", "uncertainty", "descriptor")
    told = {name: getattr(end.prediction, name) for name in shared}
    return {"stop": end.stop, "crystal": end.crystal, **told}


def mean_volume(config: SearchConfig) -> float:
    """Volume scale of the search, Å³/atom."""
    if config.pool.volume_per_atom is not None:
        return sum(config.pool.volume_per_atom) / 2
    return sum(volume_range(cell_content(config.composition, config.formula_units))) / 2
