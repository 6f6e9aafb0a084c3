"""The steps of a search, each a plain function from records to records.

The FireWorks tasks load what a step takes and save what it gives back;
`pyrite.models.search` strings the same steps together in one process.
"""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence

from pyrite.config import SearchConfig
from pyrite.documents import (
    Candidate,
    Convergence,
    EndedBy,
    Iteration,
    Label,
    LabelStatus,
    Pick,
    Relaxation,
    ShardCost,
    StopReason,
    TrainedMember,
    Validation,
)
from pyrite.errors import LabelError, SearchFailed, TooManyFailedLabels
from pyrite.models import partition, selection
from pyrite.models.clustering import cluster
from pyrite.models.composition import cell_content
from pyrite.models.convergence import compare, ranked, top_clusters
from pyrite.models.ensemble import Ensemble
from pyrite.models.generation import volume_range
from pyrite.models.labels import absurdity, require_one_method
from pyrite.models.networks import (
    FORMAT_VERSION,
    architecture,
    choose_device,
    load_network,
    save_network,
)
from pyrite.models.reference import ReferenceEngine, provenance, provenance_of_failure
from pyrite.models.relaxation import predict, relax
from pyrite.models.training import Checkpoint, train_members
from pyrite.models.validation import finalists

# Minima that were already known, in units of top_k: near-degenerate ones change places.
_KNOWN_BEFORE = 2


def label(
    config: SearchConfig,
    search_id: str,
    engine: ReferenceEngine,
    iteration: int,
    picks: Iterable[Pick],
) -> Iterator[Label]:
    """Reference energies, forces and stresses, one label at a time.

    A calculation that fails for scientific reasons is a label with its reason, and so is one
    whose numbers are out of bounds.
    """
    for pick in picks:
        common = {
            "search_id": search_id,
            "iteration": iteration,
            "candidate_id": pick.candidate_id,
            "choice": pick.choice,
            "crystal": pick.crystal,
        }
        started = time.perf_counter()
        try:
            result = engine.static(pick.crystal)
            reason = absurdity(config.reference, result)
        except LabelError as error:
            yield Label(
                **common,
                status=LabelStatus.FAILED,
                reason=str(error),
                provenance=provenance_of_failure(config.reference, started, error),
            )
        else:
            yield Label(
                **common,
                status=LabelStatus.OK if reason is None else LabelStatus.ABSURD,
                reason=reason,
                energy=result.energy,
                forces=result.forces_as_tuples(),
                stress=result.stress_as_tuples(),
                provenance=provenance(result),
            )


def require_success(config: SearchConfig, labels: Sequence[Label], iteration: int) -> None:
    """Stop a search whose reference fails too often.

    Raises
    ------
    TooManyFailedLabels
        If less than ``reference.required_success`` of this iteration's labels succeeded.
    """
    mine = [one for one in labels if one.iteration == iteration]
    failed = [one for one in mine if one.status is not LabelStatus.OK]
    if mine and 1 - len(failed) / len(mine) < config.reference.required_success:
        raise TooManyFailedLabels(
            f"{len(failed)} of {len(mine)} reference calculations of iteration {iteration} failed "
            f"(the first: {failed[0].reason}); mend the cause and resume, or lower "
            f"reference.required_success ({config.reference.required_success}) in a search of "
            "another name"
        )


def train(
    config: SearchConfig,
    search_id: str,
    iteration: int,
    members: Sequence[int],
    labels: Sequence[Label],
    inherited: Mapping[int, bytes],
    checkpoint: Checkpoint | None = None,
) -> list[tuple[TrainedMember, bytes]]:
    """Fit some members together; returns facts and weights of each.

    Raises
    ------
    MixedLabels
        If the labels were not all made by one method with one choice of settings.

    Parameters
    ----------
    inherited : weights of the last iteration by member
    checkpoint : keeper of an unfinished training
    """
    require_one_method(labels)
    trained = train_members(
        config,
        labels,
        iteration,
        members,
        {member: load_network(inherited[member]) for member in members if member in inherited},
        checkpoint,
    )
    return [
        (
            TrainedMember(
                search_id=search_id,
                iteration=iteration,
                member=member,
                architecture=architecture(config.surrogate),
                format_version=FORMAT_VERSION,
                labels=one.labels,
                left_out=one.left_out,
                epochs=one.epochs,
                seconds=one.seconds,
                energy_mae=one.errors.energy,
                force_mae=one.errors.forces,
                stress_mae=one.errors.stress,
            ),
            save_network(one.network, config.surrogate),
        )
        for member, one in zip(members, trained, strict=True)
    ]


def make_ensemble(config: SearchConfig, weights: Sequence[bytes]) -> Ensemble:
    """The ensemble of an iteration from its members' weights."""
    return Ensemble(
        [load_network(data) for data in weights],
        config.surrogate.cutoff,
        choose_device(config.surrogate.device),
    )


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
    search_id: str,
    iteration: int,
    shard: int,
    ensemble: Ensemble,
    mine: Sequence[Candidate],
    previous: Sequence[Relaxation],
) -> tuple[list[Relaxation], ShardCost]:
    """Relax one share of the pool and of the best labelled geometries.

    Memory is that of the share, whatever the size of the pool.

    Parameters
    ----------
    mine : the candidates that `shard_names` gives
    previous : relaxations of the last iteration, at least those of `names_before`
    """
    started = time.perf_counter()
    last = {one.candidate_id: one for one in previous if not one.stop.broken}
    from_last = config.relaxation.start_from == "last"
    starts = [
        last[one.candidate_id].crystal if from_last and one.candidate_id in last else one.crystal
        for one in mine
    ]
    relaxed = relax(starts, ensemble, config.relaxation, mean_volume(config))
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
    records = []
    for candidate, one in zip(mine, relaxed, strict=True):
        then = before.get(candidate.candidate_id)
        records.append(
            Relaxation(
                search_id=candidate.search_id,
                iteration=iteration,
                candidate_id=candidate.candidate_id,
                role=candidate.role,
                stop=one.stop,
                steps=one.steps,
                energy=one.prediction.energy,
                energy_spread=one.prediction.energy_spread,
                fmax=one.prediction.fmax,
                uncertainty=one.prediction.uncertainty,
                descriptor=one.prediction.descriptor,
                crystal=one.crystal,
                previous_energy=then.energy if then else None,
                previous_descriptor=then.descriptor if then else None,
                previous_crystal=known[candidate.candidate_id].crystal if then else None,
            )
        )
    cost = ShardCost(
        search_id=search_id,
        iteration=iteration,
        shard=shard,
        candidates=len(mine),
        steps=sum(one.steps for one in relaxed),
        seconds=time.perf_counter() - started,
    )
    return records, cost


def mean_volume(config: SearchConfig) -> float:
    """Volume scale of the search, Å³/atom."""
    if config.pool.volume_per_atom is not None:
        return sum(config.pool.volume_per_atom) / 2
    return sum(volume_range(cell_content(config.composition, config.formula_units))) / 2


def cluster_and_select(
    config: SearchConfig,
    iteration: Iteration,
    relaxations: Sequence[Relaxation],
    labels: Sequence[Label],
) -> Iteration:
    """Group the relaxed pool, note its top clusters and choose the next labels.

    Raises
    ------
    SearchFailed
        If no candidate is intact.
    """
    if all(one.stop.broken for one in relaxations):
        raise SearchFailed(
            f"every candidate broke in iteration {iteration.iteration}: start a search of another "
            "name with more selection.first_labels or training.updates, or wider "
            "relaxation.volume_per_atom_bounds"
        )
    # A young model may break all targets and still choose labels among the others.
    places = ranked(relaxations, config.convergence.max_energy_spread)
    ranking = [relaxations[k] for k in places]
    top = top_clusters(
        [one.candidate_id for one in ranking],
        [one.energy for one in ranking],
        [one.crystal for one in ranking],
        cluster([one.descriptor for one in ranking], config.selection),
        max(config.convergence.top_k, config.validation.top_k),
        [one.stop is not StopReason.UNCERTAIN for one in ranking],
    )
    groups = cluster([one.descriptor for one in relaxations], config.selection)
    picks = selection.select(relaxations, groups, config, iteration.iteration + 1, labels)
    return iteration.model_copy(
        update={
            "clusters": groups.clusters,
            "noise": groups.noise,
            "eps": groups.eps,
            "top": top,
            "next_picks": picks,
        }
    )


def conclude(
    config: SearchConfig,
    iteration: Iteration,
    relaxations: Sequence[Relaxation],
    labels: Sequence[Label],
    validations: Sequence[Validation] = (),
) -> Iteration:
    """Judge an iteration: does the loop go on, and if not, what is validated.

    Parameters
    ----------
    validations : those of earlier iterations, after which the loop went on
    """
    verdict = judge(config, iteration, relaxations)
    ended = ended_by(config, iteration, verdict)
    if ended is not None and not iteration.top:
        raise SearchFailed(
            f"the loop ended ({ended.value}) without a crystal to rank: every target broke; widen "
            "relaxation.volume_per_atom_bounds in a search of another name"
        )
    return iteration.model_copy(
        update={
            "convergence": verdict,
            "ended_by": ended,
            "finalists": finalists(config, iteration, labels, validations) if ended else (),
        }
    )


def judge(
    config: SearchConfig, iteration: Iteration, relaxations: Sequence[Relaxation]
) -> Convergence:
    """Whether the top clusters are the ones that this iteration began with."""
    places = ranked(relaxations, config.convergence.max_energy_spread)
    known = [relaxations[k] for k in places if relaxations[k].previous_crystal is not None]
    before = top_clusters(
        [one.candidate_id for one in known],
        [one.previous_energy for one in known if one.previous_energy is not None],
        [one.previous_crystal for one in known if one.previous_crystal is not None],
        cluster(
            [one.previous_descriptor for one in known if one.previous_descriptor is not None],
            config.selection,
        ),
        _KNOWN_BEFORE * config.convergence.top_k,
    )
    intact = [one for one in relaxations if not one.stop.broken]
    uncertain = sum(one.stop is StopReason.UNCERTAIN for one in intact)
    return compare(
        before,
        iteration.top,
        iteration.iteration,
        config.convergence,
        uncertain_share=uncertain / max(len(intact), 1),
        unchanged_before=iteration.unchanged_before,
    )


def ended_by(config: SearchConfig, iteration: Iteration, verdict: Convergence) -> EndedBy | None:
    """Why the loop ends with this iteration, or None if it goes on."""
    if verdict.converged:
        return EndedBy.CONVERGENCE
    if iteration.iteration + 1 >= config.convergence.max_iterations:
        return EndedBy.MAX_ITERATIONS
    if not iteration.next_picks:
        return EndedBy.NOTHING_TO_LABEL
    return None


def next_iteration(iteration: Iteration) -> Iteration:
    """The record that the following iteration starts from."""
    return Iteration(
        search_id=iteration.search_id,
        iteration=iteration.iteration + 1,
        picks=iteration.next_picks,
        unchanged_before=iteration.convergence.unchanged if iteration.convergence else 0,
    )
