"""The steps of a search, each a plain function from records to records.

The FireWorks tasks load what a step takes and save what it gives back;
`pyrite.models.search` strings the same steps together in one process.
"""

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from pyrite.config import SearchConfig
from pyrite.documents import (
    Convergence,
    Forecast,
    Iteration,
    Label,
    LabelStatus,
    Pick,
    Relaxation,
    Role,
    StopReason,
    TopCluster,
    TrainedMember,
    Validation,
)
from pyrite.errors import LabelError, SearchFailed, TooManyFailedLabels
from pyrite.models import course, forecasts, selection
from pyrite.models.clustering import cluster
from pyrite.models.convergence import by_label, compare, ranked, top_clusters
from pyrite.models.ensemble import Ensemble
from pyrite.models.labels import absurdity, require_one_method
from pyrite.models.names import SHOWN, of_pool, spread
from pyrite.models.networks import (
    FORMAT_VERSION,
    architecture,
    choose_device,
    load_network,
    save_network,
)
from pyrite.models.reference import ReferenceEngine, provenance, provenance_of_failure
from pyrite.models.training import Checkpoint, train_members
from pyrite.models.validation import finalists

# Minima that were already known, in units of top_k: near-degenerate ones change places.
_KNOWN_BEFORE = 2
JUDGED = 20  # labels


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

    An iteration of fewer than `JUDGED` labels is judged with as many whole iterations before it
    as that takes: of five, two may fail by chance.

    Raises
    ------
    TooManyFailedLabels
        If less than ``reference.required_success`` of these labels succeeded, or none of this
        iteration's though some should.
    """
    mine = [one for one in labels if one.iteration == iteration]
    judged, k = list(mine), iteration
    while len(judged) < JUDGED and k > 0:
        k -= 1
        judged += [one for one in labels if one.iteration == k]
    failed = [one for one in mine if one.status is not LabelStatus.OK]
    every = sum(one.status is not LabelStatus.OK for one in judged)
    required = config.reference.required_success
    none = len(failed) == len(mine) and required > 0
    if failed and (none or 1 - every / len(judged) < required):
        what = f"{every} of {len(judged)} reference calculations of iteration {iteration}"
        if none:
            what = f"{len(mine)} of {len(mine)} reference calculations of iteration {iteration}"
        elif len(judged) > len(mine):
            what = (
                f"{every} of the last {len(judged)} reference calculations, {len(failed)} of them "
                f"in iteration {iteration},"
            )
        raise TooManyFailedLabels(
            f"{what} failed (the first: {failed[0].reason}); mend the cause and resume, or lower "
            f"reference.required_success ({required}) in a search of another name"
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


def forecast(
    config: SearchConfig, iteration: int, labels: Sequence[Label], inherited: Mapping[int, bytes]
) -> list[Forecast]:
    """What the networks of the last iteration say of an iteration's own labels.

    Parameters
    ----------
    inherited : weights of the last iteration by member
    """
    ensemble = make_ensemble(config, [inherited[member] for member in sorted(inherited)])
    return forecasts.forecast(
        config, ensemble, [one for one in labels if one.iteration == iteration]
    )


def make_ensemble(config: SearchConfig, weights: Sequence[bytes]) -> Ensemble:
    """The ensemble of an iteration from its members' weights."""
    return Ensemble(
        [load_network(data) for data in weights],
        config.surrogate.cutoff,
        choose_device(config.surrogate.device),
    )


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
    groups = cluster([one.descriptor for one in relaxations], config.selection)
    everybody = len(ranking) == len(relaxations) and not any(one.ahead for one in ranking)
    ends = [one.rest for one in ranking]
    wanted = max(config.convergence.top_k, config.validation.top_k)
    top = top_clusters(
        [one.candidate_id for one in ranking],
        [one.energy for one in ends],
        [one.crystal for one in ends],
        groups if everybody else cluster([one.descriptor for one in ends], config.selection),
        _ranked_among(config, wanted),
        [_is_certain(config, one) for one in ranking],
    )
    top = _as_labelled(config, top, labels)[:wanted]
    picks = selection.select(relaxations, groups, config, iteration.iteration + 1, labels)
    return iteration.model_copy(
        update={
            "clusters": groups.clusters,
            "noise": groups.noise,
            "eps": groups.eps,
            "top": _with_members_shown(top, relaxations),
            "next_picks": picks,
        }
    )


def _is_certain(config: SearchConfig, one: Relaxation) -> bool:
    """Whether the ensemble is sure of where a candidate ends: of the forces there, and, since
    symmetry may make all of them zero, of the energy."""
    if one.rest.energy_spread > config.convergence.max_energy_spread:
        return False
    if one.ahead is None:
        return one.stop is not StopReason.UNCERTAIN
    return one.ahead.uncertainty < config.relaxation.max_relative_uncertainty


def _ranked_among(config: SearchConfig, wanted: int) -> int:
    """Of how many clusters, the lowest by the ensemble, so many are chosen."""
    if not config.convergence.label_energies:
        return wanted
    return 2 * _KNOWN_BEFORE * max(config.convergence.top_k, config.validation.top_k)


def _as_labelled(
    config: SearchConfig, top: tuple[TopCluster, ...], labels: Sequence[Label]
) -> tuple[TopCluster, ...]:
    """Clusters in the order in which they are ranked."""
    if not config.convergence.label_energies:
        return top
    return by_label(top, labels, config.convergence.max_energy_spread)


def _with_members_shown(
    top: Sequence[TopCluster], relaxations: Sequence[Relaxation]
) -> tuple[TopCluster, ...]:
    """Clusters without the members that no figure of a large pool shows: documents are bounded."""
    roles = Counter(one.role for one in relaxations if of_pool(one.candidate_id))
    if sum(roles.values()) <= SHOWN:
        return tuple(top)
    shown = {*spread({role: roles[role] for role in Role}), *(one.candidate_id for one in top)}
    return tuple(
        one.model_copy(update={"members": tuple(name for name in one.members if name in shown)})
        for one in top
    )


def conclude(
    config: SearchConfig,
    iteration: Iteration,
    relaxations: Sequence[Relaxation],
    labels: Sequence[Label],
    validations: Sequence[Validation] = (),
) -> Iteration:
    """Judge an iteration: does the loop go on as it is, and if not, what is validated.

    Parameters
    ----------
    validations : those of earlier iterations, after which the loop went on
    """
    verdict = judge(config, iteration, relaxations, labels)
    ended = course.ended_by(config, iteration, verdict)
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
    config: SearchConfig,
    iteration: Iteration,
    relaxations: Sequence[Relaxation],
    labels: Sequence[Label],
) -> Convergence:
    """Whether the top clusters are the ones that this iteration began with."""
    places = ranked(relaxations, config.convergence.max_energy_spread)
    known = [relaxations[k] for k in places if relaxations[k].previous_crystal is not None]
    limit = config.convergence.max_energy_spread
    # As with what is ranked now: an energy that one network invented was no minimum before.
    known = [one for one in known if (one.previous_energy_spread or 0.0) <= limit] or known
    wanted = _KNOWN_BEFORE * config.convergence.top_k
    before = top_clusters(
        [one.candidate_id for one in known],
        [one.previous_energy for one in known if one.previous_energy is not None],
        [one.previous_crystal for one in known if one.previous_crystal is not None],
        cluster(
            [one.previous_descriptor for one in known if one.previous_descriptor is not None],
            config.selection,
        ),
        _ranked_among(config, wanted),
    )
    intact = [one for one in relaxations if not one.stop.broken]
    # Larger cells may be uncertain without stopping, and are no measure of what is left to learn.
    learning = [one for one in intact if one.role is Role.TRAIN]
    uncertain = sum(not _is_certain(config, one) for one in learning)
    return compare(
        _as_labelled(config, before, labels)[:wanted],
        iteration.top,
        iteration.iteration,
        config.convergence,
        uncertain_share=uncertain / len(learning) if learning else 1.0,
        unchanged_before=iteration.unchanged_before,
    )
