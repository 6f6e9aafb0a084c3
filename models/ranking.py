"""From validated candidates to the final ranking and the ledger."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Self

from ase.units import GPa
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

from pyrite.documents import (
    Crystal,
    Iteration,
    Label,
    LabelStatus,
    Role,
    ShardCost,
    TrainedMember,
    Validation,
)
from pyrite.errors import kind_of_problem
from pyrite.models.matching import find_same, same_crystal
from pyrite.models.names import role_of
from pyrite.results import Ledger, RankedCrystal, TargetFound

# Two relaxations of one crystal end this close together, eV/atom.
SAME_ENERGY = 0.005


def rank(
    validations: Sequence[Validation],
    iterations: Sequence[Iteration],
    symprec: float,
    labels: Sequence[Label] = (),
    *,
    role: Role,
) -> tuple[RankedCrystal, ...]:
    """Distinct crystals by reference energy, the lowest first.

    Validations that ended as the same crystal within 5 meV/atom are merged; the
    lowest stands for them. What each had cost when it was found follows from
    ``labels``; without any it stays unknown. Where larger cells are ranked, which have a ``role``
    of their own, relaxations of the small cell have a cost, but no place.
    """
    ok = sorted(
        (one for one in of_role(role, validations) if one.status is LabelStatus.OK),
        key=lambda one: (_energy(one), one.candidate_id),
    )
    groups: list[list[Validation]] = []
    for one in ok:
        near = [group for group in groups if _energy(one) - _energy(group[0]) <= SAME_ENERGY]
        same = find_same(_crystal(one), [_crystal(group[0]) for group in near])
        if same is None:
            groups.append([one])
        else:
            near[same].append(one)
    lowest = _energy(groups[0][0]) if groups else 0.0
    ranking = [
        _ranked(position, group, lowest, iterations, symprec)
        for position, group in enumerate(groups, start=1)
    ]
    return tuple(_with_cost(one, labels, validations) if labels else one for one in ranking)


def of_role(role: Role, validations: Sequence[Validation]) -> list[Validation]:
    """Relaxations of the small cell, or of larger ones."""
    return [one for one in validations if role_of(one.candidate_id) is role]


def _with_cost(
    crystal: RankedCrystal, labels: Sequence[Label], validations: Sequence[Validation]
) -> RankedCrystal:
    spent = _Costs.until_found(crystal, labels, validations)
    calls = None if spent is None else spent.reference_calls
    return crystal.model_copy(update={"reference_calls_first_found": calls})


def _ranked(
    position: int,
    group: Sequence[Validation],
    lowest: float,
    iterations: Sequence[Iteration],
    symprec: float,
) -> RankedCrystal:
    best = group[0]
    crystal = _crystal(best)
    symbol, number = space_group(crystal, symprec)
    return RankedCrystal(
        rank=position,
        candidate_ids=tuple(one.candidate_id for one in group),
        energy_ev_per_atom=_energy(best),
        energy_above_lowest_ev_per_atom=_energy(best) - lowest,
        space_group_symbol=symbol,
        space_group_number=number,
        volume_a3_per_atom=crystal.volume_per_atom,
        converged=best.converged,
        residual_stress_gpa=_residual_stress(best),
        first_found_iteration=first_found(crystal, iterations, group),
        crystal=crystal,
    )


def _residual_stress(validation: Validation) -> float | None:
    """Largest component of the stress, GPa; None of records that have none."""
    if validation.stress is None:
        return None
    return max(abs(component) for row in validation.stress for component in row) / GPa


def space_group(crystal: Crystal, symprec: float) -> tuple[str, int]:
    """International symbol and number; P1 where spglib finds no symmetry at all."""
    try:
        analyzer = SpacegroupAnalyzer(crystal.to_structure(), symprec=symprec)
        return analyzer.get_space_group_symbol(), analyzer.get_space_group_number()
    except (TypeError, ValueError, AttributeError):
        return "P1", 1


def first_found(
    crystal: Crystal, iterations: Sequence[Iteration], validations: Sequence[Validation]
) -> int:
    """The first iteration whose top clusters held this crystal.

    Where larger cells are ranked, iterations of the small cell alone do not count: their
    crystals may be the same, in fewer atoms.

    A crystal that only a reference relaxation brought about counts as found by
    the iteration that put its start among the finalists.

    Parameters
    ----------
    validations : at least one, those that ended as this crystal
    """
    validated = min(one.iteration for one in validations)
    for iteration in iterations[:validated]:
        found = (same_crystal(crystal, one.crystal) for one in iteration.top)
        if iteration.larger_cells and any(found):
            return iteration.iteration
    return validated


def ledger(
    labels: Sequence[Label],
    members: Sequence[TrainedMember],
    shards: Sequence[ShardCost],
    validations: Sequence[Validation],
    ranking: Sequence[RankedCrystal],
    target: TargetFound | None = None,
) -> Ledger:
    """What the search spent.

    ``reference_calls_first_found`` counts the labels up to and including the
    iteration in which the first-ranked crystal entered the top clusters, the
    reference relaxation that confirmed it, and those of earlier iterations.

    Parameters
    ----------
    target : what :func:`find_target` says of the structure that was looked for
    """
    first = _Costs.until_found(ranking[0], labels, validations) if ranking else None
    total = _Costs.of([*labels, *validations])
    bad = [label for label in labels if label.status is not LabelStatus.OK]
    problems = Counter(kind_of_problem(label.reason) for label in bad)
    return Ledger(
        reference_calls=total.reference_calls,
        reference_calls_first_found=None if first is None else first.reference_calls,
        scf_cycles=total.scf_cycles,
        reference_seconds=total.reference_seconds,
        training_seconds=sum(one.seconds for one in members),
        relaxation_seconds=sum(one.seconds for one in shards),
        failed_labels=problems.total(),
        label_problems=dict(problems.most_common()),
        target=target,
    )


def find_target(
    name: str,
    crystal: Crystal,
    ranking: Sequence[RankedCrystal],
    labels: Sequence[Label],
    validations: Sequence[Validation],
) -> TargetFound:
    """Look for a known structure in a ranking.

    Found is the lowest ranked crystal that is the same; the costs are those of
    ``reference_calls_first_found``, for this crystal instead of the first.
    """
    found = next((one for one in ranking if same_crystal(crystal, one.crystal)), None)
    spent = None if found is None else _Costs.until_found(found, labels, validations)
    if found is None or spent is None:
        return TargetFound(structure=name)
    return TargetFound(
        structure=name, rank=found.rank, iteration=found.first_found_iteration, **asdict(spent)
    )


@dataclass(frozen=True)
class _Costs:
    """Of reference calculations."""

    reference_calls: int
    scf_cycles: int | None
    reference_seconds: float

    @classmethod
    def of(cls, calculations: Sequence[Label | Validation]) -> Self:
        made = [one.provenance for one in calculations]
        cycles = [one.scf_cycles for one in made if one.scf_cycles is not None]
        return cls(
            reference_calls=sum(one.reference_calls for one in made),
            scf_cycles=sum(cycles) if cycles else None,
            reference_seconds=sum(one.seconds for one in made),
        )

    @classmethod
    def until_found(
        cls, crystal: RankedCrystal, labels: Sequence[Label], validations: Sequence[Validation]
    ) -> Self | None:
        """Labels up to the iteration that found it, its confirmation, and earlier validations."""
        found = crystal.first_found_iteration
        if found is None:
            return None
        confirming = [
            one
            for one in validations
            if one.iteration >= found and one.candidate_id == crystal.candidate_ids[0]
        ]
        confirming.sort(key=lambda one: (one.iteration, one.provenance.reference_calls))
        return cls.of(
            [
                *(one for one in labels if one.iteration <= found),
                *(one for one in validations if one.iteration < found),
                *confirming[:1],
            ]
        )


def _energy(validation: Validation) -> float:
    if validation.energy is None:
        raise ValueError(f"validation of {validation.candidate_id} has no energy")
    return validation.energy


def _crystal(validation: Validation) -> Crystal:
    if validation.crystal is None:
        raise ValueError(f"validation of {validation.candidate_id} has no crystal")
    return validation.crystal
