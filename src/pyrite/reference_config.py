"""The search file's section on the method that labels and validates.

Units as in :mod:`pyrite.config`.
"""

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from pyrite.frozen import Frozen


class VaspConfig(Frozen):
    """What VASP calculates (engine: vasp): MatPES's PBE inputs with these changes, the same for
    every label, so that metals and insulators of one search can be compared."""

    encut: float = Field(
        680, gt=0, description="eV; well above ENMAX, since stress converges later than energy"
    )
    kspacing: float = Field(
        0.22, gt=0, le=1, description="1/Å; one density for all cells, whatever gap they have"
    )
    ismear: int = Field(
        0, ge=-1, le=2, description="0, Gaussian, is safe for metals and insulators alike"
    )
    sigma: float = Field(0.05, gt=0, description="width of the smearing, eV")
    spin: bool = Field(False, description="ISPIN 2; random cells seldom order, at twice the cost")
    isym: int = Field(
        0, ge=-1, le=3, description="0: symmetry met by chance must not change the k-points"
    )
    lreal: bool = Field(False, description="projectors in real space are less accurate")
    algo: str = Field("Normal", description="Fast loses its way in random cells more often")
    ediff: float = Field(1e-5, gt=0, description="eV; forces need it tight")
    nelm: int = Field(200, ge=1, description="electronic steps before a calculation has failed")
    gga: str = Field("PE", description="functional")
    incar: dict[str, Any] = Field(
        default_factory=dict, description="any other INCAR tags; they win over all above"
    )
    potcar_functional: Literal["PBE", "PBE_52", "PBE_54", "PBE_64"] = Field(
        "PBE_64", description="set of POTCARs, in pymatgen's words"
    )
    potcars: dict[str, str] = Field(
        default_factory=dict, description='POTCARs other than MatPES\'s, as "Ga": "Ga_d"'
    )


class GpawConfig(Frozen):
    """What GPAW calculates (engine: gpaw): plane waves, PAW and PBE, the same for every label."""

    xc: str = Field("PBE", min_length=1, description="functional, in GPAW's words")
    cutoff: float | None = Field(
        None,
        gt=0,
        description="of the plane waves, eV; default: the largest that an element needs",
    )
    kspacing: float = Field(
        0.3, gt=0, le=2, description="1/Å; one density for all cells, whatever gap they have"
    )
    width: float = Field(
        0.1, gt=0, description="of the Fermi-Dirac smearing, eV; fit for metals and insulators"
    )
    spin: bool = Field(False, description="spin-polarised, beginning ferromagnetic")
    energy_convergence: float = Field(1e-4, gt=0, description="eV per valence electron")
    density_convergence: float = Field(1e-4, gt=0, description="electrons per valence electron")
    max_scf_cycles: int = Field(
        200, ge=1, description="electronic steps before a calculation has failed"
    )
    parameters: dict[str, Any] = Field(
        default_factory=dict, description="any other parameters of GPAW, such as a Hubbard U"
    )


FORCE_FIELDS = ("chgnet", "sevennet")


class ReferenceConfig(Frozen):
    """The method that labels and validates."""

    engine: str = Field("chgnet", description="chgnet, sevennet, vasp, gpaw, or maker")
    static_maker: str | None = Field(
        None, description="dotted path of the Maker for labels (engine: maker)"
    )
    relax_maker: str | None = Field(
        None, description="dotted path of the Maker for validation (engine: maker)"
    )
    settings: dict[str, Any] = Field(
        default_factory=dict, description="keyword arguments of both makers"
    )
    vasp: VaspConfig = Field(default_factory=VaspConfig)
    gpaw: GpawConfig = Field(default_factory=GpawConfig)
    required_success: float = Field(
        0.7,
        ge=0,
        le=1,
        description="share of an iteration's labels that must succeed, where they are fewer than "
        "20 with those of iterations before it, and in any case one of them (0: none need to)",
    )
    max_energy: float | None = Field(
        None,
        gt=0,
        description="eV/atom either way, beyond which a label is absurd: kept, but left out; "
        "default 100 (engine: maker has none, since its zero may be anywhere)",
    )
    max_force: float = Field(500, gt=0, description="the same for the largest force, eV/Å")
    max_stress: float = Field(
        10, gt=0, description="the same for the largest stress component, eV/Å³ (1600 GPa)"
    )

    @model_validator(mode="after")
    def _makers_are_named(self) -> Self:
        if self.engine == "maker" and not (self.static_maker and self.relax_maker):
            raise ValueError("engine: maker needs static_maker and relax_maker")
        if self.engine != "maker" and (self.static_maker or self.relax_maker):
            raise ValueError("static_maker and relax_maker go with engine: maker")
        return self

    @property
    def is_force_field(self) -> bool:
        """Whether labels take seconds; other engines' may take hours."""
        return self.engine in FORCE_FIELDS

    @property
    def makers(self) -> str | None:
        """Dotted paths of both Makers with a space between, None for other engines."""
        if self.engine != "maker":
            return None
        return f"{self.static_maker} {self.relax_maker}"
