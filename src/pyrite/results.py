"""What a search ends with: a ranking, and what it cost. Records as in :mod:`pyrite.documents`."""

from pydantic import BaseModel, ConfigDict, Field

from pyrite.documents import Crystal, EndedBy, Record


class RankedCrystal(BaseModel):
    """One distinct crystal of the final ranking."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rank: int
    candidate_ids: tuple[str, ...]
    energy_ev_per_atom: float
    energy_above_lowest_ev_per_atom: float
    space_group_symbol: str
    space_group_number: int
    volume_a3_per_atom: float
    converged: bool = Field(description="whether all forces on atoms were below fmax at the end")
    residual_stress_gpa: float | None = Field(
        None, description="largest component in the last cell, by its own basis and k-points"
    )
    first_found_iteration: int | None
    reference_calls_first_found: int | None = Field(
        None, description="spent until then, with the relaxation that confirmed it"
    )
    crystal: Crystal


class TargetFound(BaseModel):
    """Where the known structure that was looked for is in the ranking, and what the reference had
    spent when it was first found; all None if it is not there."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    structure: str
    rank: int | None = None
    iteration: int | None = None
    reference_calls: int | None = None
    scf_cycles: int | None = None
    reference_seconds: float | None = None


class Ledger(BaseModel):
    """What a search spent, by kind."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    reference_calls: int = 0
    reference_calls_first_found: int | None = None
    scf_cycles: int | None = Field(None, description="None if the reference has none")
    reference_seconds: float = 0.0
    training_seconds: float = 0.0
    relaxation_seconds: float = 0.0
    failed_labels: int = Field(0, description="failed and absurd ones")
    label_problems: dict[str, int] = Field(
        default_factory=dict, description="the same by kind of problem"
    )
    target: TargetFound | None = None


class Result(Record):
    """The final ranking. Key: search_id."""

    iterations: int
    ended_by: EndedBy
    ranking: tuple[RankedCrystal, ...]
    ledger: Ledger
