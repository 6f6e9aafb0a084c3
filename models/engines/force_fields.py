"""Force fields whose weights lie in their wheels, through atomate2's force-field Makers."""

import importlib.metadata
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyrite.errors import EngineError, LabelError
from pyrite.machine import Machine
from pyrite.models.engines.makers import MakerEngine, Makers
from pyrite.models.quiet import quietly
from pyrite.models.text import hint, one_line
from pyrite.models.walltime import margin, seconds_left
from pyrite.reference_config import ReferenceConfig


@dataclass(frozen=True)
class KnownEngine:
    """A force field whose weights lie in its wheel."""

    module: str
    distribution: str
    force_field: str
    device_argument: str
    arguments: Mapping[str, Any]


KNOWN = {
    "chgnet": KnownEngine(
        module="chgnet",
        distribution="chgnet",
        force_field="CHGNet",
        device_argument="use_device",
        # An atom out of reach of all others has no force: refuse it.
        arguments={"on_isolated_atoms": "error"},
    ),
    "sevennet": KnownEngine(
        module="sevenn",
        distribution="sevenn",
        force_field="SevenNet",
        device_argument="device",
        arguments={"model": "7net-0"},
    ),
}
KNOWN_SETTINGS = ("calculator_kwargs", "optimizer_kwargs", "relax_kwargs")
# Mean evaluations on 16 random Al4O6 and Na8Cl8 cells (7net-0): BFGS 118, L-BFGS 126, which goes
# to and fro where the curvature is negative; Si6 (CHGNet): L-BFGS 85, FIRE 96.
OPTIMIZER = {"optimizer": "BFGS"}
RELAXATION = {"maxstep": 0.2}
_STEPS_TO_SPARE = 3


def check(config: ReferenceConfig) -> None:
    """See :mod:`pyrite.models.engines`."""
    known = KNOWN[config.engine]
    if importlib.util.find_spec(known.module) is None:
        raise EngineError(
            f"reference.engine: {config.engine!r} needs the package {known.distribution}, which "
            f'is not installed; run: pip install "pyrite-csp[{config.engine}]"'
        )
    for key, value in config.settings.items():
        if key not in KNOWN_SETTINGS:
            raise EngineError(
                f"reference.settings: {key!r} is not a setting of {config.engine}; "
                f"choose from {', '.join(KNOWN_SETTINGS)}{hint(key, KNOWN_SETTINGS)}"
            )
        if not isinstance(value, dict):
            raise EngineError(f"reference.settings.{key} must be a mapping, not {value!r}")


def make(config: ReferenceConfig, directory: Path, machine: Machine) -> MakerEngine:
    """See :mod:`pyrite.models.engines`."""
    return MakerEngine(makers=_load(config, machine), directory=directory)


def _load(config: ReferenceConfig, machine: Machine) -> Makers:
    known = KNOWN[config.engine]
    with quietly():
        from pymatgen.io.ase import AseAtomsAdaptor

        from pyrite.models import calculators
        from pyrite.models.networks import choose_device
        from pyrite.models.watched import LeftOff
    device = choose_device("auto").type
    common: dict[str, Any] = {
        "force_field_name": known.force_field,
        "calculator_kwargs": {known.device_argument: device}
        | dict(known.arguments)
        | config.settings.get("calculator_kwargs", {}),
        "ionic_step_data": (),
    }
    optimizer = OPTIMIZER | config.settings.get("optimizer_kwargs", {})
    relaxation = RELAXATION | config.settings.get("relax_kwargs", {})
    no_file = {"final_atoms_object_file": None}

    try:
        with quietly():
            static = calculators.StaticMaker(**common, relax_kwargs=no_file)
            calculator: Any = calculators.shared_calculator(static)
    except Exception as error:
        raise EngineError(
            f"reference.engine: {config.engine!r} does not load ({one_line(error)}); check "
            f"reference.settings and the installed {known.distribution}"
        ) from error

    def relax(fmax: float, max_steps: int) -> Any:
        return calculators.RelaxMaker(
            **common,
            steps=max(max_steps, 2),  # 1 means a single point to atomate2
            optimizer_kwargs=optimizer,
            relax_kwargs={**relaxation, **no_file, "fmax": fmax},
        )

    def is_late(step: float) -> bool:
        left = seconds_left(machine)
        return left is not None and left < max(margin(machine), _STEPS_TO_SPARE * step)

    def made(maker: Any, structure: Any) -> Any:
        # The undecorated function: a jobflow Job around it costs more than the label.
        return type(maker).make.original(maker, structure)

    def run(maker: Any, structure: Any) -> tuple[Any, int]:
        calculator.start_over(is_late)
        try:
            try:
                document = made(maker, structure)
            except LeftOff:
                # A single point of what was evaluated last, which is not evaluated again.
                document = made(static, AseAtomsAdaptor.get_structure(calculator.atoms))
        except Exception as error:
            raise LabelError(
                f"{config.engine} failed: {one_line(error)}", calls=calculator.calls
            ) from error
        return document, calculator.calls

    return Makers(
        engine=config.engine,
        engine_version=importlib.metadata.version(known.distribution),
        settings={"force_field": known.force_field, **known.arguments, **config.settings},
        static=static,
        relax=relax,
        run=run,
        interrupted=lambda: calculator.left_off,
    )
