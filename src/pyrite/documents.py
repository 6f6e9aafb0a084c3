"""The records that Pyrite keeps, as frozen models that know nothing of MongoDB.

Energies in eV or eV/atom as the name says, lengths in Å, forces in eV/Å,
stresses in eV/Å³ (3 × 3, tension positive, as in ASE).
"""

from enum import StrEnum
from typing import TYPE_CHECKING, Any, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator

from pyrite import __version__
from pyrite.config import SearchConfig
from pyrite.frozen import SEARCH_NAME

if TYPE_CHECKING:
    from ase import Atoms
    from pymatgen.core import Structure

Vector = tuple[float, float, float]
Matrix = tuple[Vector, Vector, Vector]


class Record(BaseModel):
    """Base of all records: immutable, no unknown keys, stamped with the version."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    search_id: str = Field(pattern=SEARCH_NAME)
    pyrite_version: str = __version__


class Crystal(BaseModel):
    """A periodic crystal: atomic numbers, Cartesian positions and cell rows in Å.

    Cells are right-handed: networks and force fields divide by the signed triple
    product of the rows, so a left-handed cell would turn the sign of its stress.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    numbers: tuple[int, ...]
    positions: tuple[Vector, ...]
    cell: Matrix

    @field_validator("cell")
    @classmethod
    def _right_handed(cls, cell: Matrix) -> Matrix:
        """Negate all rows of a left-handed cell: the same lattice, the same positions."""
        (a, b, c), (d, e, f), (g, h, i) = cell
        if a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g) < 0:
            return ((-a, -b, -c), (-d, -e, -f), (-g, -h, -i))
        return cell

    @classmethod
    def from_atoms(cls, atoms: "Atoms") -> Self:
        """Copy geometry and elements of an ASE object."""
        return cls(
            numbers=atoms.numbers.tolist(),
            positions=atoms.positions.tolist(),
            cell=atoms.cell.array.tolist(),
        )

    @classmethod
    def from_structure(cls, structure: "Structure") -> Self:
        """Copy geometry and elements of an ordered pymatgen structure."""
        return cls(
            numbers=tuple(site.specie.Z for site in structure),
            positions=structure.cart_coords.tolist(),
            cell=structure.lattice.matrix.tolist(),
        )

    def to_atoms(self) -> "Atoms":
        """As an ASE object, periodic in three directions."""
        from ase import Atoms

        return Atoms(numbers=self.numbers, positions=self.positions, cell=self.cell, pbc=True)

    def to_structure(self) -> "Structure":
        """As a pymatgen structure."""
        from pymatgen.core import Element, Structure

        species = [Element.from_Z(number) for number in self.numbers]
        return Structure(self.cell, species, self.positions, coords_are_cartesian=True)

    @property
    def volume_per_atom(self) -> float:
        """Å³/atom."""
        import numpy as np

        return float(abs(np.linalg.det(self.cell)) / len(self.numbers))


class Role(StrEnum):
    """What a candidate may be used for."""

    TRAIN = "train"
    TARGET = "target"


class Origin(StrEnum):
    """Where a candidate came from."""

    P1 = "p1"
    SYMMETRIC = "symmetric"
    FILE = "file"
    LABEL = "label"


class Candidate(Record):
    """One member of the pool, as generated. Key: (search_id, candidate_id)."""

    candidate_id: str
    role: Role = Role.TRAIN
    origin: Origin
    crystal: Crystal


class Choice(StrEnum):
    """Why a candidate is labelled."""

    RANDOM = "random"
    SCORE = "score"
    UNCERTAIN = "uncertain"
    LOW_ENERGY = "low_energy"
    VALIDATED = "validated"  # where a reference relaxation ended


class Pick(BaseModel):
    """One selected candidate: which, from which geometry, and why."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    candidate_id: str
    choice: Choice
    crystal: Crystal


class LabelStatus(StrEnum):
    """Outcome of a reference calculation; of an absurd one the numbers are kept."""

    OK = "ok"
    FAILED = "failed"
    ABSURD = "absurd"


class Provenance(BaseModel):
    """Which method made a number, and what it cost."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    engine: str
    engine_version: str
    settings: dict[str, Any] = Field(
        default_factory=dict, description="what decides the numbers: the same in all labels"
    )
    details: dict[str, Any] = Field(
        default_factory=dict, description="what may differ between labels, such as repairs"
    )
    seconds: float
    reference_calls: int = Field(description="energy-and-force evaluations")
    scf_cycles: int | None = Field(None, description="None where the method has none")

    def after(self, earlier: "Provenance | None") -> "Provenance":
        """The same with the costs of what came before."""
        if earlier is None:
            return self
        costs = ("seconds", "reference_calls", "scf_cycles")
        pairs = {name: (getattr(earlier, name), getattr(self, name)) for name in costs}
        sums = {name: None if None in pair else sum(pair) for name, pair in pairs.items()}
        return self.model_copy(update=sums)


class Label(Record):
    """A reference energy of one geometry. Key: (search_id, iteration, candidate_id)."""

    iteration: int
    candidate_id: str
    choice: Choice
    crystal: Crystal
    status: LabelStatus
    reason: str | None = None
    energy: float | None = Field(None, description="eV, whole cell")
    forces: tuple[Vector, ...] | None = None
    stress: Matrix | None = None
    provenance: Provenance


class Forecast(Record):
    """What the networks of an iteration before said of a label's geometry.
    Key: (search_id, iteration, candidate_id), those of the label.

    Means and standard deviations over the members: ``energy`` and ``energy_spread`` in
    eV/atom, ``forces`` and ``force_spread`` (of each component) in eV/Å.
    """

    iteration: int
    candidate_id: str
    energy: float
    energy_spread: float
    forces: tuple[Vector, ...]
    force_spread: tuple[Vector, ...]


class StopReason(StrEnum):
    """Why the relaxation of a candidate ended."""

    CONVERGED = "converged"
    UNCERTAIN = "uncertain"
    STALLED = "stalled"
    MAX_STEPS = "max_steps"
    EXPLODED = "exploded"
    COLLAPSED = "collapsed"
    NOT_A_NUMBER = "not_a_number"

    @property
    def broken(self) -> bool:
        """Whether the geometry is of no further use."""
        return self in {self.EXPLODED, self.COLLAPSED, self.NOT_A_NUMBER}


class Rest(BaseModel):
    """Where a relaxation by the ensemble ends."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stop: StopReason
    energy: float
    energy_spread: float
    uncertainty: float
    descriptor: tuple[float, ...]
    crystal: Crystal


class Relaxation(Rest, Record):
    """A candidate as the ensemble left it. Key: (search_id, iteration, candidate_id).

    ``energy`` is the ensemble mean and ``energy_spread`` the standard deviation
    over members, eV/atom; ``fmax`` the largest force of the mean, eV/Å;
    ``uncertainty`` the relative force uncertainty; ``descriptor`` the pooled
    scalar features of the first member, R^f. ``ahead`` is where an uncertain candidate ends, unless
    it breaks. ``previous_*`` is the geometry that the last iteration ended with, under the current
    ensemble.
    """

    iteration: int
    candidate_id: str
    role: Role = Role.TRAIN
    steps: int
    fmax: float
    ahead: Rest | None = None
    previous_energy: float | None = None
    previous_energy_spread: float | None = None
    previous_descriptor: tuple[float, ...] | None = None
    previous_crystal: Crystal | None = None

    @property
    def rest(self) -> Rest:
        """Where its relaxation ends, whatever was uncertain on the way."""
        return self if self.ahead is None else self.ahead


class TopCluster(BaseModel):
    """The best member of one low-energy cluster; energy in eV/atom.

    ``label_energy`` is the reference's, by which it is ranked if that was asked for.
    ``settled`` is false where its relaxation stopped as uncertain: such a
    geometry is on its way, not a minimum. ``members`` are the candidates of the
    cluster, and of others whose best member is the same crystal; of large pools, those among
    :data:`pyrite.models.names.SHOWN` candidates that are spread evenly.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    candidate_id: str
    energy: float
    label_energy: float | None = None
    size: int
    crystal: Crystal
    settled: bool = True
    members: tuple[str, ...] = ()


class Convergence(BaseModel):
    """The verdict of one iteration."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    converged: bool
    agreeing: int = Field(description="top clusters found unchanged")
    compared: int
    reason: str
    unchanged: int = Field(0, description="iterations in a row without change, with this one")
    uncertain_share: float | None = Field(None, description="of train candidates that are intact")


class EndedBy(StrEnum):
    """Why the loop ended, or the part of it that the small cell has to itself."""

    CONVERGENCE = "convergence"
    MAX_ITERATIONS = "max_iterations"
    NOTHING_TO_LABEL = "nothing_to_label"


class Iteration(Record):
    """What one cycle decided. Key: (search_id, iteration).

    ``picks`` are the labels that this iteration asks for, ``unchanged_before`` is what the
    iterations before it came to; everything else is filled in at its end.
    """

    iteration: int
    picks: tuple[Pick, ...]
    unchanged_before: int = Field(0, description="iterations in a row without change until this")
    larger_cells: bool = Field(True, description="whether they are relaxed, if there are any")
    clusters: int | None = None
    noise: int | None = Field(None, description="candidates in no cluster")
    eps: float | None = None
    top: tuple[TopCluster, ...] = ()
    next_picks: tuple[Pick, ...] = ()
    convergence: Convergence | None = None
    ended_by: EndedBy | None = Field(None, description="why finalists were chosen")
    finalists: tuple[TopCluster, ...] = Field((), description="what the reference relaxes")
    confirmed: bool | None = Field(
        None, description="whether the ensemble knew what the reference ranks first, and its energy"
    )


class TrainedMember(Record):
    """Facts about one trained network; weights lie in GridFS.
    Key: (search_id, iteration, member). Errors are mean absolute errors on the
    member's validation share, or on the training set where there is none."""

    iteration: int
    member: int
    architecture: dict[str, Any]
    format_version: int
    labels: int
    left_out: int
    epochs: int
    seconds: float
    energy_mae: float = Field(description="eV/atom")
    force_mae: float = Field(description="eV/Å")
    stress_mae: float = Field(description="eV/Å³")


class ShardCost(Record):
    """What one relaxation shard has cost so far. Key: (search_id, iteration, shard)."""

    iteration: int
    shard: int
    candidates: int
    steps: int
    seconds: float
    finished: bool = True
    outcomes: dict[StopReason, int] = Field(default_factory=dict, description="candidates by stop")


class TrainingState(Record):
    """An unfinished training, whose state lies in GridFS. Key: (search_id, iteration, part)."""

    iteration: int
    part: int


class Validation(Record):
    """A reference relaxation of a finalist. Key: (search_id, iteration, candidate_id)."""

    iteration: int
    candidate_id: str
    status: LabelStatus
    reason: str | None = None
    converged: bool = False
    interrupted: bool = Field(False, description="whether a time limit ended it, and it goes on")
    energy: float | None = Field(None, description="eV/atom")
    fmax: float | None = None
    stress: Matrix | None = Field(None, description="in the last cell, eV/Å³, tension positive")
    crystal: Crystal | None = None
    provenance: Provenance


class SearchState(StrEnum):
    """Where a search stands."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


class Search(Record):
    """A search and its settings. Key: search_id, which is its name."""

    config: SearchConfig
    state: SearchState = SearchState.WAITING
    error: str | None = None
    created: float = Field(description="seconds since the epoch")
    finished: float | None = None
