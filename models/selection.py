"""Which candidates the reference labels next, and which geometries are kept."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from pyrite.config import SearchConfig, SelectionConfig, TrainingConfig
from pyrite.documents import (
    Candidate,
    Choice,
    Crystal,
    Label,
    LabelStatus,
    Origin,
    Pick,
    Relaxation,
    Role,
    StopReason,
)
from pyrite.models.clustering import Clusters
from pyrite.models.compared import Compared
from pyrite.models.dataset import learnable
from pyrite.models.matching import find_same
from pyrite.models.seeds import stream

SAME_END = 1e-3  # eV/atom


def first_picks(candidates: Sequence[Candidate], config: SearchConfig) -> tuple[Pick, ...]:
    """The labels of iteration 0: candidates at random, as they were generated."""
    train = [candidate for candidate in candidates if candidate.role is Role.TRAIN]
    count = min(config.selection.first_labels, len(train))
    chosen = stream(config.seed, "first labels").permutation(len(train))[:count]
    return tuple(
        Pick(candidate_id=train[k].candidate_id, choice=Choice.RANDOM, crystal=train[k].crystal)
        for k in sorted(chosen.tolist())
    )


def select(
    relaxations: Sequence[Relaxation],
    clusters: Clusters,
    config: SearchConfig,
    iteration: int,
    labels: Sequence[Label] = (),
) -> tuple[Pick, ...]:
    """The labels that iteration ``iteration`` asks for, at most one per group.

    Four lists are drawn from in turn until the shares are filled: lowest score
    L = Ē − ω_F·max‖F̄_i‖ (eV/atom; LAQA score of the paper), candidates that
    became uncertain, those first that lead lowest, lowest energy, and any in random order.
    What one list cannot fill, the score fills. Fewer groups than labels is no error.

    Parameters
    ----------
    relaxations : the relaxed pool; broken and target candidates are passed over
    clusters : groups of ``relaxations``, in the same order
    labels : those so far. Candidates of which one failed or was absurd, or was left out of the
        training for its force, are passed over, and so are minima that a label has confirmed.
    """
    selection = config.selection
    count = label_count(selection, labels)
    known = _Known(relaxations, clusters, labels, config.convergence.energy_tolerance)
    refused = {one.candidate_id for one in labels if _taught_nothing(one, config.training)}
    usable = [
        k
        for k, one in enumerate(relaxations)
        if one.role is Role.TRAIN
        and not one.stop.broken
        and one.fmax <= config.training.max_force
        and one.candidate_id not in refused
    ]
    order = _Order(relaxations, usable, config, stream(config.seed, "select", iteration))
    uncertain = round(count * selection.uncertain_share)
    low_energy = round(count * selection.low_energy_share)
    at_random = round(count * selection.random_share)
    score = count - uncertain - low_energy - at_random
    taken: set[int] = set()
    chosen: list[tuple[int, Choice]] = []
    for choice, quota in (
        (Choice.SCORE, score),
        (Choice.UNCERTAIN, uncertain),
        (Choice.LOW_ENERGY, low_energy),
        (Choice.RANDOM, at_random),
        (Choice.SCORE, count),
    ):
        room = min(quota, count - len(chosen))
        wanted = (k for k in order.by(choice) if clusters.group[k] not in taken)
        if selection.skip_known:
            wanted = (k for k in wanted if k not in known)
        found = _one_per_group(wanted, clusters.group, taken, room)
        chosen += [(k, choice) for k in found]
    return tuple(
        Pick(
            candidate_id=relaxations[k].candidate_id,
            choice=choice,
            crystal=displace(
                relaxations[k].crystal, config, iteration, relaxations[k].candidate_id
            ),
        )
        for k, choice in sorted(chosen)
    )


def label_count(selection: SelectionConfig, labels: Sequence[Label]) -> int:
    """How many labels an iteration asks for, given those so far."""
    if selection.growth is None:
        return selection.labels
    so_far = sum(one.status is LabelStatus.OK for one in labels)
    return min(selection.labels, max(1, round(selection.growth * so_far)))


def _taught_nothing(label: Label, training: TrainingConfig) -> bool:
    """Whether a label cannot be learned from; random starts have large forces and leave them."""
    start = label.status is LabelStatus.OK and label.iteration == 0
    return not (start or learnable(label, training))


class _Known:
    """Minima of the ensemble that the reference has labelled, at the energy that it gives them.

    Another label of such a crystal would say nothing new.
    """

    def __init__(
        self,
        relaxations: Sequence[Relaxation],
        clusters: Clusters,
        labels: Sequence[Label],
        tolerance: float,
    ) -> None:
        self.relaxations = relaxations
        self.labels = [one for one in labels if one.status is LabelStatus.OK]
        self.energies = np.array([label_energy(one) for one in self.labels])
        self.tolerance = tolerance
        self.hits = np.zeros(len(self.labels), dtype=int)
        self.compared = Compared(clusters)
        self.verdicts: dict[int, bool] = {}

    def __contains__(self, index: int) -> bool:
        one = self.relaxations[index]
        if one.stop is not StopReason.CONVERGED:
            return False
        near = np.flatnonzero(np.abs(self.energies - one.energy) <= self.tolerance)
        if not len(near):
            return False
        like = self.compared.like(index)
        if like is None:
            self.verdicts[index] = self._matches(one.crystal, near)
            self.compared.add(index)
            like = index
        return self.verdicts[like]

    def _matches(self, crystal: Crystal, near: np.ndarray) -> bool:
        # What many candidates have become is tried first.
        near = near[np.argsort(-self.hits[near], kind="stable")]
        found = find_same(crystal, [self.labels[k].crystal for k in near])
        if found is not None:
            self.hits[near[found]] += 1
        return found is not None


class _Order:
    """Candidates in the order in which each list would label them."""

    def __init__(
        self,
        relaxations: Sequence[Relaxation],
        usable: list[int],
        config: SearchConfig,
        rng: np.random.Generator,
    ) -> None:
        self.relaxations, self.usable, self.selection = relaxations, usable, config.selection
        self.max_energy_spread = config.convergence.max_energy_spread
        self.shuffled = rng.permutation(usable).tolist() if usable else []

    def by(self, choice: Choice) -> list[int]:
        """All usable candidates of one list, the most wanted first."""
        if choice is Choice.UNCERTAIN:
            doubted = [k for k in self.shuffled if self.relaxations[k].stop is StopReason.UNCERTAIN]
            return self._by_destination(doubted)
        if choice is Choice.RANDOM:
            return self.shuffled
        weight = self.selection.force_weight if choice is Choice.SCORE else 0.0
        return sorted(
            self.usable,
            key=lambda k: score(self.relaxations[k], weight),
        )

    def _by_destination(self, doubted: list[int]) -> list[int]:
        """The lowest ends first; of each end one candidate, then a second one.

        Ends whose energies differ by less than `SAME_END` are taken for one. Those of which
        the ensemble knows no energy come last.
        """
        ends = {k: self.relaxations[k].ahead for k in doubted}
        energies = {
            k: end.energy
            for k, end in ends.items()
            if end is not None and end.energy_spread <= self.max_energy_spread
        }
        ordered = sorted(energies, key=energies.__getitem__)
        turns: dict[int, int] = {}
        end, turn = -math.inf, 0
        for k in ordered:
            if energies[k] - end < SAME_END:
                turn += 1
            else:
                end, turn = energies[k], 0
            turns[k] = turn
        ordered.sort(key=turns.__getitem__)
        return [*ordered, *(k for k in doubted if k not in energies)]


def score(relaxation: Relaxation, force_weight: float) -> float:
    """L = Ē − ω_F·max‖F̄_i‖₂ with Ē in eV/atom, ω_F in Å."""
    return relaxation.energy - force_weight * relaxation.fmax


def _one_per_group(
    order: Iterable[int], group: np.ndarray, taken: set[int], room: int
) -> Iterator[int]:
    for k in order:
        if room <= 0:
            return
        if int(group[k]) not in taken:
            taken.add(int(group[k]))
            room -= 1
            yield k


def displace(crystal: Crystal, config: SearchConfig, iteration: int, candidate_id: str) -> Crystal:
    """Add label noise: uniform in ±noise·decay^iteration (Å) on each coordinate."""
    amplitude = config.selection.noise * config.selection.noise_decay**iteration
    positions = np.array(crystal.positions)
    rng = stream(config.seed, "noise", iteration, candidate_id)
    moved = positions + rng.uniform(-amplitude, amplitude, positions.shape)
    return crystal.model_copy(update={"positions": tuple(map(tuple, moved.tolist()))})


def anchors(labels: Sequence[Label], config: SearchConfig) -> list[Candidate]:
    """The best labelled geometries, as further candidates.

    A young model may relax a good geometry away; what the reference has found
    low stays in the pool as a start of its own. Of geometries that are the same
    crystal, or that share a name, only the lowest is kept. Energies are compared
    per atom.
    """
    ok = [label for label in labels if label.status is LabelStatus.OK]
    ok.sort(key=lambda label: (label_energy(label), label.iteration, label.candidate_id))
    kept: dict[str, Candidate] = {}
    for label in ok:
        if len(kept) >= config.relaxation.anchors:
            break
        name = anchor_id(label)
        known = [candidate.crystal for candidate in kept.values()]
        if name not in kept and find_same(label.crystal, known) is None:
            kept[name] = Candidate(
                search_id=label.search_id,
                candidate_id=name,
                origin=Origin.LABEL,
                crystal=label.crystal,
            )
    return list(kept.values())


def predecessor(candidate: Candidate, last: Mapping[str, Relaxation]) -> Relaxation | None:
    """What a candidate was in the last iteration, or None.

    An anchor that a newer label of the same candidate has replaced lives on in it,
    so that a minimum does not seem new because its geometry was labelled again.

    Parameters
    ----------
    last : intact relaxations of the last iteration by candidate
    """
    if candidate.candidate_id in last or candidate.origin is not Origin.LABEL:
        return last.get(candidate.candidate_id)
    name = root(candidate.candidate_id)
    anchored = [one for key, one in last.items() if key != root(key) == name]
    return min(anchored, key=lambda one: (one.rest.energy, one.candidate_id), default=None)


def root(candidate_id: str) -> str:
    """The pool's name of a candidate: ``c00012`` of ``a03-c00012``."""
    return candidate_id.rpartition("-")[2]


def label_energy(label: Label) -> float:
    """Reference energy of a successful label, eV/atom."""
    if label.energy is None:
        raise ValueError(f"label of {label.candidate_id} has no energy: it {label.status}")
    return label.energy / len(label.crystal.numbers)


def anchor_id(label: Label) -> str:
    """Name of the candidate that a labelled geometry becomes: ``a03-c00012``."""
    return f"a{label.iteration:02d}-{root(label.candidate_id)}"
