"""What a reference program may use of the machine it runs on."""

from enum import StrEnum
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field


class Keep(StrEnum):
    """Which calculations leave their files behind."""

    ALL = "all"
    FAILED = "failed"
    NONE = "none"


class Machine(BaseModel):
    """Commands, folders and time. Nothing here changes what is calculated."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    vasp_command: str = Field(
        "vasp_std", min_length=1, description="how VASP is started, such as: mpirun -n 16 vasp_std"
    )
    gpaw_launcher: str | None = Field(
        None, description="what starts GPAW's processes, such as: mpirun -n 4; default: one process"
    )
    scratch: Path | None = Field(
        None, description="folder for calculations under way; default: the launch directory"
    )
    walltime: int | None = Field(
        None,
        gt=0,
        description="seconds after which the batch system ends the job; tasks stop themselves "
        "five minutes or a tenth of that before, whichever is less, or earlier where the next "
        "label or three steps of a reference relaxation would take longer, and go on in the next "
        "job",
    )
    frozen_after: int = Field(
        3600, gt=0, description="seconds without output after which a program counts as hung"
    )
    makers: str | None = Field(
        None,
        description="Makers that searches may name (reference.static_maker, relax_maker): dotted "
        "paths of them or of packages, with spaces between, or none; default: any, but for "
        "workers of pyrite run those of its search file, and for pyrite work none",
    )
    keep: Keep = Field(
        Keep.FAILED, description="calculations that leave their files: all, failed or none"
    )

    def allows(self, makers: str) -> bool:
        """Whether all of these Makers may run, dotted paths with spaces between."""
        if self.makers is None:
            return True
        allowed = [one for one in self.makers.replace(",", " ").split() if one != "none"]
        return all(
            any(path == one or path.startswith(f"{one}.") for one in allowed)
            for path in makers.split()
        )
