"""Whether the low-energy minima have stopped changing."""

import math
from collections.abc import Sequence

import numpy as np

from pyrite.config import ConvergenceConfig, Criterion
from pyrite.documents import (
    Convergence,
    Crystal,
    Label,
    LabelStatus,
    Relaxation,
    Role,
    TopCluster,
)
from pyrite.models.clustering import Clusters
from pyrite.models.compared import Compared
from pyrite.models.matching import find_same, same_crystal
from pyrite.models.selection import label_energy

# eV/Å. With a curvature of 5 eV/Å² or more such an atom is worth 9 meV at most.
AT_REST = 0.3


def ranked(relaxations: Sequence[Relaxation], max_energy_spread: float) -> list[int]:
    """Indices of the candidates whose ranking counts.

    These are the intact targets where the search has targets, else the intact
    train candidates. Candidates on whose energy the members disagree by more than
    ``max_energy_spread`` (eV/atom, standard deviation) are left out: where nothing
    was learnt, one network may invent a hole of any depth. Early on that may be
    everybody; then everybody counts.
    """
    roles = {one.role for one in relaxations}
    role = Role.TARGET if Role.TARGET in roles else Role.TRAIN
    intact = [k for k, one in enumerate(relaxations) if one.role is role and not one.stop.broken]
    believed = [k for k in intact if relaxations[k].rest.energy_spread <= max_energy_spread]
    return believed or intact


def top_clusters(
    candidate_ids: Sequence[str],
    energies: Sequence[float],
    crystals: Sequence[Crystal],
    clusters: Clusters,
    k: int,
    settled: Sequence[bool] | None = None,
) -> tuple[TopCluster, ...]:
    """The k groups of lowest energy (eV/atom), each by its best member.

    Groups whose best members are the same crystal are counted once: descriptors
    of two imperfect relaxations of one minimum may lie in two groups. ``settled``
    tells which candidates ended at a minimum (all, if None).
    """
    best: list[TopCluster] = []
    seen: set[int] = set()
    compared = Compared(clusters)
    place: dict[int, int] = {}  # of those compared, in `best`
    joined: list[list[str]] = []  # names in the groups of each of `best`
    for index in np.argsort(energies, kind="stable").tolist():
        if len(best) >= k:
            break
        group = int(clusters.group[index])
        if group in seen:
            continue
        seen.add(group)
        members = tuple(
            candidate_ids[one] for one in np.flatnonzero(clusters.group == group).tolist()
        )
        known = compared.like(index)
        if known is not None:
            same: int | None = place[known]
        else:
            compared.add(index)
            same = find_same(crystals[index], [one.crystal for one in best])
            place[index] = len(best) if same is None else same
        if same is not None:
            joined[same].extend(members)
        else:
            joined.append(list(members))
            best.append(
                TopCluster(
                    candidate_id=candidate_ids[index],
                    energy=energies[index],
                    size=len(members),
                    crystal=crystals[index],
                    settled=settled is None or settled[index],
                )
            )
    return tuple(
        one.model_copy(update={"members": tuple(members)})
        for one, members in zip(best, joined, strict=True)
    )


def by_label(
    top: Sequence[TopCluster], labels: Sequence[Label], window: float
) -> tuple[TopCluster, ...]:
    """The clusters with the reference's energy where a label at rest has their crystal, lowest
    of these energies, or else of the ensemble's, first.

    Of several such labels the lowest counts. Those with forces above `AT_REST` are on the way to
    a minimum, and lie above it.

    Parameters
    ----------
    window : how far such a label may lie from what the ensemble says, eV/atom
    """
    ok = [one for one in labels if one.status is LabelStatus.OK and _is_at_rest(one)]
    ok.sort(key=label_energy)
    energies = np.array([label_energy(one) for one in ok])
    told = []
    for one in top:
        near = np.flatnonzero(np.abs(energies - one.energy) <= window).tolist()
        found = find_same(one.crystal, [ok[k].crystal for k in near])
        known = None if found is None else float(energies[near[found]])
        told.append(one.model_copy(update={"label_energy": known}))
    return tuple(sorted(told, key=_rank))


def _is_at_rest(label: Label) -> bool:
    return bool(np.linalg.norm(np.asarray(label.forces), axis=1).max() <= AT_REST)


def _rank(one: TopCluster) -> float:
    return one.energy if one.label_energy is None else one.label_energy


def compare(
    before: Sequence[TopCluster],
    after: Sequence[TopCluster],
    iteration: int,
    config: ConvergenceConfig,
    uncertain_share: float = 0.0,
    unchanged_before: int = 0,
) -> Convergence:
    """Compare the top clusters before and after a relaxation under one ensemble.

    Criterion ``energy``: the k-th energies agree within ``energy_tolerance``.
    Criterion ``structure``: every crystal after is one of those before, of which
    there may be more: an order that changes among known minima is no new minimum.
    Either way, unless ``settled`` is off, a cluster whose best member is uncertain
    counts as changed: the ensemble does not know where it leads. And while more
    than ``max_uncertain_share`` of the candidates stopped so, minima that nobody has
    reached yet may lie lower: then it takes several iterations in a row without
    change (`required_in_a_row`).

    Parameters
    ----------
    uncertain_share : share of the intact candidates that stopped as uncertain
    unchanged_before : iterations in a row without change until this one
    """

    def at_rest(one: TopCluster) -> bool:
        return one.settled or not config.settled

    # Clusters that vanished are a change as well.
    compared = min(max(len(before), len(after)), config.top_k)
    if config.criterion is Criterion.ENERGY:
        agreeing = sum(
            at_rest(other) and abs(one.energy - other.energy) <= config.energy_tolerance
            for one, other in zip(before, after[:compared], strict=False)
        )
    else:
        agreeing = sum(
            at_rest(one) and any(same_crystal(one.crystal, other.crystal) for other in before)
            for one in after[:compared]
        )
    unchanged = compared > 0 and agreeing == compared
    in_a_row = unchanged_before + 1 if unchanged else 0
    reason = f"{agreeing} of {compared} top clusters unchanged ({config.criterion})"
    early = iteration + 1 < config.min_iterations
    required = required_in_a_row(uncertain_share, config)
    undecided = in_a_row < required
    if unchanged and early:
        reason += f", but fewer than {config.min_iterations} iterations"
    if unchanged and undecided:
        reason += f", but {uncertain_share:.0%} of the candidates are uncertain"
        if required < math.inf:
            reason += f" ({in_a_row} of {required} iterations in a row"
            left = config.max_iterations - iteration - 1
            beyond = required - in_a_row > left
            reason += f"; {left} are left)" if beyond else ")"
    return Convergence(
        converged=unchanged and not early and not undecided,
        agreeing=agreeing,
        compared=compared,
        reason=reason,
        unchanged=in_a_row,
        uncertain_share=uncertain_share,
    )


def required_in_a_row(uncertain_share: float, config: ConvergenceConfig) -> float:
    """Iterations in a row without change that are a verdict: a whole number, or infinity.

    One, up to ``max_uncertain_share``; above it ``patience`` times the odds s/(1 − s) of the
    uncertain share s. Where nearly all candidates are uncertain, those that are not say next to
    nothing about the pool, however often they stay the same.
    """
    if uncertain_share <= config.max_uncertain_share:
        return 1
    if uncertain_share == 1:
        return math.inf
    odds = uncertain_share / (1 - uncertain_share)
    return max(1, math.ceil(round(config.patience * odds, 9)))  # 0.9/0.1 is a little more than 9
