"""The whole search as one frozen, validated model.

Units throughout: eV, Å, eV/Å, eV/Å³. Defaults make ``composition: NaCl`` a
complete search file. Keys that are not listed here are errors.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from pyrite.frozen import SEARCH_NAME, Frozen
from pyrite.paper import with_defaults_of_the_paper
from pyrite.pool_config import Join, LargerCell, PoolConfig, StartFrom, TargetConfig
from pyrite.reference_config import ReferenceConfig

DEFAULT_ATOMS_PER_CELL = 8

# The last iterations relax larger cells in any case: two, so that there is something to compare.
_WITH_LARGER = 2


class Representation(StrEnum):
    """SchNetPack representations that a search can train."""

    PAINN = "painn"
    SO3NET = "so3net"
    SCHNET = "schnet"


class Criterion(StrEnum):
    """How two lists of top clusters are compared."""

    ENERGY = "energy"
    STRUCTURE = "structure"


class SurrogateConfig(Frozen):
    """The ensemble of SchNetPack networks."""

    representation: Representation = Field(
        Representation.PAINN,
        description="painn (cheapest), so3net (the paper's) or schnet (cannot be folded: slow)",
    )
    members: int = Field(4, ge=2, le=32, description="networks in the ensemble")
    features: int = Field(32, ge=4, description="atom features")
    interactions: int = Field(2, ge=1, le=8, description="message-passing layers")
    lmax: int = Field(2, ge=1, le=4, description="largest angular momentum (so3net)")
    radial_basis: int = Field(16, ge=2, description="Gaussians")
    cutoff: float = Field(5.0, gt=1, le=15, description="Å")
    norm_epsilon: float = Field(
        0.01, gt=0, description="under the roots of painn's vector norms, against cusps (method.md)"
    )
    shared_interactions: bool = Field(False, description="one set of weights for all layers")
    zbl: bool = Field(True, description="add the Ziegler-Biersack-Littmark repulsion")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="where networks run")


class TrainingConfig(Frozen):
    """How networks are fitted. The loss is per structure: total energy in eV
    (mean per atom removed), forces in eV/Å, stress in eV/Å³."""

    energy_weight: float = Field(0.03, ge=0, description="of the squared energy error, eV²")
    force_weight: float = Field(1.0, ge=0, description="of the squared force error, (eV/Å)²")
    stress_weight: float = Field(300.0, ge=0, description="of the squared stress error, (eV/Å³)²")
    batch_size: int = Field(4, ge=1, description="labels in one optimizer step")
    learning_rate: float = Field(4e-3, gt=0, description="for freshly initialised weights")
    warm_learning_rate: float = Field(2e-3, gt=0, description="when weights are inherited")
    weight_decay: float = Field(0.02, ge=0, description="of AdamW")
    updates: int = Field(2000, ge=1, description="optimizer steps of the first iteration")
    warm_updates: int = Field(1000, ge=1, description="optimizer steps of later iterations")
    schedule: Literal["onecycle", "plateau"] = Field(
        "onecycle", description="of the learning rate; plateau also stops early on held-out labels"
    )
    plateau_factor: float = Field(
        0.5, gt=0, lt=1, description="of the learning rate, when the held-out loss stands still"
    )
    plateau_patience: int = Field(20, ge=1, description="epochs until plateau_factor applies")
    early_stopping_patience: int = Field(
        40, ge=1, description="epochs without a lower held-out loss until plateau stops"
    )
    validation_share: float = Field(0.1, ge=0, lt=1, description="share of labels held out")
    gradient_clip: float = Field(1.0, gt=0, description="largest gradient norm")
    warm_start: bool = Field(True, description="begin from the last iteration's weights")
    max_force: float = Field(10.0, gt=0, description="labels above are left out, eV/Å")
    outlier_sigma: float | None = Field(
        None, gt=0, description="leave out labels whose force or stress exceeds mean + this·σ"
    )

    @model_validator(mode="after")
    def _plateau_has_a_monitor(self) -> Self:
        if self.schedule == "plateau" and self.validation_share == 0:
            raise ValueError("schedule: plateau needs validation_share above 0")
        return self


class RelaxationConfig(Frozen):
    """How the ensemble relaxes the pool, and when a candidate stops."""

    fmax: float = Field(0.05, gt=0, description="converged below, eV/Å")
    max_relative_uncertainty: float = Field(
        0.5, gt=0, description="uncertain above: max|σ_F| / max(max|F̄|, floor)"
    )
    uncertainty_floor: float = Field(
        0.3, ge=0, description="smallest denominator of the relative uncertainty, eV/Å"
    )
    look_ahead: bool = Field(
        True,
        description="relax uncertain candidates on: they are labelled where they became uncertain, "
        "and ranked where they end",
    )
    patience: int = Field(20, ge=1, description="steps without a lower energy: stalled")
    max_steps: int = Field(200, ge=1, description="steps of one relaxation")
    start_from: StartFrom = Field(
        StartFrom.FIRST, description="geometry as generated, or as the last iteration left it"
    )
    anchors: int = Field(
        10, ge=0, description="best labelled geometries that are relaxed beside the pool"
    )
    volume_per_atom_bounds: tuple[float, float] = Field(
        (0.35, 4.0), description="allowed volume in units of the pool's mean; outside: broken"
    )
    minimum_distance: float = Field(
        0.55, ge=0, description="closest approach in sums of covalent radii; below: broken"
    )
    batch_size: int = Field(32, ge=1, description="candidates relaxed at once")

    @model_validator(mode="after")
    def _bounds_hold_the_pool(self) -> Self:
        low, high = self.volume_per_atom_bounds
        if not 0 < low < 1 < high:
            raise ValueError(
                "volume_per_atom_bounds must be a number between 0 and 1 and one above 1"
            )
        return self


class SelectionConfig(Frozen):
    """Which candidates the reference labels next. Shares are of an iteration's labels."""

    first_labels: int = Field(10, ge=2, description="labels of iteration 0, at random")
    labels: int = Field(25, ge=1, description="labels of each later iteration, at most")
    growth: float | None = Field(
        0.5,
        gt=0,
        description="labels of a later iteration, at most this share of those so far (rounded, at "
        "least one); null: always `labels`",
    )
    force_weight: float = Field(0.1, ge=0, description="ω_F of the score Ē − ω_F·max‖F̄‖, Å")
    uncertain_share: float = Field(0.34, ge=0, le=1, description="stopped as uncertain")
    low_energy_share: float = Field(0.33, ge=0, le=1, description="lowest energy first")
    random_share: float = Field(0.0, ge=0, le=1, description="any of the pool, at random")
    skip_known: bool = Field(
        True,
        description="pass over minima that a label has confirmed, to convergence.energy_tolerance",
    )
    noise: float = Field(0.0, ge=0, description="amplitude of symmetric label noise, Å")
    noise_decay: float = Field(0.6, gt=0, le=1, description="factor per iteration")
    eps: float = Field(0.5, gt=0, description="DBSCAN radius, standardised descriptors")
    min_samples: int = Field(2, ge=1, description="neighbours of a DBSCAN core point, with itself")
    max_cluster_size: int = Field(500, ge=2, description="larger clusters are split again")
    min_groups: int = Field(200, ge=1, description="distinct groups wanted; eps shrinks for them")

    @model_validator(mode="after")
    def _shares_fit(self) -> Self:
        if self.uncertain_share + self.low_energy_share + self.random_share > 1:
            raise ValueError(
                "uncertain_share, low_energy_share and random_share must not exceed 1 together"
            )
        return self


class ConvergenceConfig(Frozen):
    """When the loop ends."""

    criterion: Criterion = Field(
        Criterion.STRUCTURE, description="top clusters agree in their crystals or their energies"
    )
    top_k: int = Field(3, ge=1, description="clusters compared")
    energy_tolerance: float = Field(
        0.01,
        gt=0,
        description="eV/atom; of criterion: energy, of what counts as known (selection.skip_known) "
        "and as held too high (confirm)",
    )
    max_energy_spread: float = Field(
        0.1, gt=0, description="candidates whose energy is less certain are not ranked, eV/atom"
    )
    label_energies: bool = Field(
        False,
        description="rank clusters whose crystal has been labelled by the label's energy",
    )
    settled: bool = Field(
        True, description="a top cluster whose best member is uncertain counts as changed"
    )
    max_uncertain_share: float = Field(
        0.2,
        ge=0,
        le=1,
        description="of the candidates that did not break, uncertain where they end: up to it "
        "one iteration without change is enough",
    )
    patience: int = Field(
        4,
        ge=1,
        description="above it this many times s/(1 - s), rounded up, with the uncertain share s: "
        "so many iterations in a row must leave the top clusters unchanged",
    )
    min_iterations: int = Field(3, ge=1, description="iterations before convergence counts")
    max_iterations: int = Field(30, ge=1, description="iterations after which the loop ends")
    confirm: bool = Field(
        True,
        description="go on if the ensemble missed, or held too high, what ranks first in the end; "
        "larger cells wait until the small one has passed this",
    )

    @model_validator(mode="after")
    def _limits_are_ordered(self) -> Self:
        if self.min_iterations > self.max_iterations:
            raise ValueError("min_iterations must not exceed max_iterations")
        return self


class ValidationConfig(Frozen):
    """Reference relaxations of the best candidates at the end."""

    top_k: int = Field(5, ge=1, description="clusters that are relaxed by the reference")
    fmax: float = Field(0.05, gt=0, description="converged below, eV/Å")
    max_steps: int = Field(200, ge=1, description="steps of one reference relaxation")
    symprec: float = Field(0.2, gt=0, description="space-group tolerance, Å")


class ExecutionConfig(Frozen):
    """How the search is cut into fireworks."""

    cpu_category: str | None = Field(None, description="_category of reference and selection tasks")
    gpu_category: str | None = Field(None, description="_category of training and relaxation")
    labels_per_task: int | None = Field(
        None,
        ge=1,
        description="reference labels in one firework; default: 30 of a force field, else 1",
    )
    members_per_task: int = Field(2, ge=1, description="networks trained in one firework")
    candidates_per_task: int = Field(100, ge=1, description="candidates relaxed in one firework")
    checkpoint_seconds: float = Field(
        60.0, ge=0, description="between saved states of a training that is under way"
    )
    torch_threads: int = Field(1, ge=1, description="threads of one task that runs networks")
    priority: int = Field(
        0, description="_priority of all tasks: workers take those of the highest first"
    )


class SearchConfig(Frozen):
    """One crystal structure search."""

    composition: str = Field(
        description="the cell's content (Na4Cl4), or a formula (NaCl) for which formula_units is "
        f"chosen to give about {DEFAULT_ATOMS_PER_CELL} atoms"
    )
    formula_units: int | None = Field(None, ge=1, description="formula units per cell")
    name: str | None = Field(
        None,
        pattern=SEARCH_NAME,
        description="of the search in its store; default such as NaCl-seed1",
    )
    seed: int = Field(1, ge=0, lt=2**32, description="of all random numbers")
    recipe: Literal["pyrite", "paper"] = Field(
        "pyrite", description="whose settings hold where the file says nothing"
    )
    pool: PoolConfig = Field(default_factory=PoolConfig)
    target: TargetConfig | None = None
    reference: ReferenceConfig = Field(default_factory=ReferenceConfig)
    surrogate: SurrogateConfig = Field(default_factory=SurrogateConfig)
    training: TrainingConfig = Field(default_factory=TrainingConfig)
    relaxation: RelaxationConfig = Field(default_factory=RelaxationConfig)
    selection: SelectionConfig = Field(default_factory=SelectionConfig)
    convergence: ConvergenceConfig = Field(default_factory=ConvergenceConfig)
    validation: ValidationConfig = Field(default_factory=ValidationConfig)
    execution: ExecutionConfig = Field(default_factory=ExecutionConfig)

    @model_validator(mode="before")
    @classmethod
    def _follow_the_recipe(cls, value: Any) -> Any:
        if isinstance(value, Mapping) and value.get("recipe") == "paper":
            return with_defaults_of_the_paper(value)
        return value

    @field_validator("target", mode="before")
    @classmethod
    def _name_of_a_known_structure(cls, value: Any) -> Any:
        return {"structure": value} if isinstance(value, str) else value

    @property
    def larger(self) -> LargerCell | None:
        """The pool of larger cells that are ranked but never labelled, if there is one."""
        if self.target is None or self.target.composition is None:
            return None
        return LargerCell(self.target.composition, self.target.pool)

    def larger_cells_join(self, k: int) -> bool:
        """Whether iteration ``k`` relaxes larger cells, if there are any, whatever came before."""
        if self.larger is None or self.target is None or self.target.join is Join.FIRST:
            return True
        return k >= self.convergence.max_iterations - _WITH_LARGER
