"""Which reference engines there are, and how each one's Makers are built and run."""

import difflib
import importlib
import importlib.metadata
import importlib.util
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

from pyrite.config import ReferenceConfig
from pyrite.errors import EngineError, LabelError, PyriteError
from pyrite.models.quiet import quietly

MAKER = "maker"


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
# Mean evaluations on random Si6 cells: L-BFGS 85, FIRE 96; L-BFGS with steps of 0.1 Å 134.
OPTIMIZER = {"optimizer": "LBFGS"}
RELAXATION = {"maxstep": 0.2}


@dataclass(frozen=True)
class Makers:
    """The two Makers of an engine.

    Attributes
    ----------
    engine, engine_version : str
        What a label says about its origin.
    settings : Mapping
        What else determines the numbers.
    static : Maker
        For single points.
    relax : callable
        Gives the Maker of relaxations for (fmax in eV/Å, largest number of steps).
    run : callable
        ``run(maker, structure)`` runs a Maker in the working directory and returns its
        document and the number of evaluations, or None where the document knows it.
    """

    engine: str
    engine_version: str
    settings: Mapping[str, Any]
    static: Any
    relax: Callable[[float, int], Any]
    run: Callable[[Any, Any], tuple[Any, int | None]]


def check_engine(config: ReferenceConfig) -> None:
    """Find out whether the engine can run, without loading a known one.

    Raises
    ------
    EngineError
        Naming the field, its value and what to do.
    """
    if config.engine == MAKER:
        for name in ("static_maker", "relax_maker"):
            _build_maker(f"reference.{name}", getattr(config, name), config.settings)
        return
    known = KNOWN.get(config.engine)
    if known is None:
        names = (*KNOWN, MAKER)
        raise EngineError(
            f"reference.engine: {config.engine!r} is not an engine; "
            f"choose from {', '.join(names)}{_hint(config.engine, names)}"
        )
    if importlib.util.find_spec(known.module) is None:
        raise EngineError(
            f"reference.engine: {config.engine!r} needs the package {known.distribution}, which "
            f'is not installed; run: pip install "pyrite-csp[{config.engine}]"'
        )
    for key, value in config.settings.items():
        if key not in KNOWN_SETTINGS:
            raise EngineError(
                f"reference.settings: {key!r} is not a setting of {config.engine}; "
                f"choose from {', '.join(KNOWN_SETTINGS)}{_hint(key, KNOWN_SETTINGS)}"
            )
        if not isinstance(value, dict):
            raise EngineError(f"reference.settings.{key} must be a mapping, not {value!r}")


def load_makers(config: ReferenceConfig) -> Makers:
    """Build the Makers that ``config`` names, and load the model of a known engine.

    Raises
    ------
    EngineError
        As :func:`check_engine`, or when the model does not load.
    """
    check_engine(config)
    return _dotted(config) if config.engine == MAKER else _known(config)


def one_line(error: BaseException) -> str:
    """An exception as one short line."""
    if isinstance(error, PyriteError):
        return str(error)
    first = next(iter(str(error).strip().splitlines()), "")
    return f"{type(error).__name__}: {first}"[:300] if first else type(error).__name__


# ------------------------------------------------------------------ known engines


def _known(config: ReferenceConfig) -> Makers:
    known = KNOWN[config.engine]
    with quietly():
        import torch

        from pyrite.models import calculators
    device = "cuda" if torch.cuda.is_available() else "cpu"
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
            calculator = calculators.shared_calculator(static)
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

    def run(maker: Any, structure: Any) -> tuple[Any, int]:
        calculator.start_over()
        # The undecorated function: a jobflow Job around it costs more than the label.
        try:
            document = type(maker).make.original(maker, structure)
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
    )


# ------------------------------------------------------------------ any Maker


def _dotted(config: ReferenceConfig) -> Makers:
    """Makers by dotted path. fmax and the number of steps reach those that take them as
    atomate2's ASE Makers do; others, such as VASP's, follow their own input sets."""
    static_path, relax_path = str(config.static_maker), str(config.relax_maker)

    def relax(fmax: float, max_steps: int) -> Any:
        maker = _build_maker("reference.relax_maker", relax_path, config.settings)
        if {"relax_kwargs", "steps"} <= {item.name for item in fields(maker)}:  # ASE's
            maker.relax_kwargs = {**maker.relax_kwargs, "fmax": fmax}
            maker.steps = max(max_steps, 2)
        return maker

    return Makers(
        engine=static_path,
        engine_version=_version_of(static_path),
        settings={"relax_maker": relax_path, **config.settings},
        static=_build_maker("reference.static_maker", static_path, config.settings),
        relax=relax,
        run=_run_with_jobflow,
    )


def _build_maker(field: str, path: str, settings: Mapping[str, Any]) -> Any:
    """The Maker at a dotted path, with its settings; errors name ``field``."""
    module, _, name = path.rpartition(".")
    try:
        with quietly():
            from jobflow import Maker

            found = getattr(importlib.import_module(module), name)
    except Exception as error:
        raise EngineError(
            f"{field}: {path!r} cannot be imported ({one_line(error)}); "
            "give the dotted path of an installed atomate2 Maker"
        ) from error
    if not (isinstance(found, type) and issubclass(found, Maker) and is_dataclass(found)):
        raise EngineError(f"{field}: {path!r} is no Maker; give the dotted path of a Maker class")
    accepted = [item.name for item in fields(found) if item.init]
    for key in settings:
        if key not in accepted:
            raise EngineError(
                f"reference.settings: {key!r} is not an argument of {path}; "
                f"choose from {', '.join(accepted)}{_hint(key, accepted)}"
            )
    try:
        with quietly():
            return found(**settings)
    except Exception as error:
        raise EngineError(f"reference.settings: {path} refuses them ({one_line(error)})") from error


def _run_with_jobflow(maker: Any, structure: Any) -> tuple[Any, None]:
    """Run a Job or Flow in a folder of its own below the working directory."""
    from jobflow import Job, JobStore, run_locally
    from maggma.stores import MemoryStore

    work = maker.make(structure)
    last = work.uuid if isinstance(work, Job) else getattr(work.output, "uuid", None)
    before = set(Path.cwd().iterdir())
    try:
        responses = run_locally(
            work,
            log=False,
            store=JobStore(MemoryStore(), additional_stores={"data": MemoryStore()}),
            create_folders=True,
            ensure_success=True,
            raise_immediately=True,
        )
    finally:
        for folder in set(Path.cwd().iterdir()) - before:
            if folder.is_dir() and not any(folder.iterdir()):
                shutil.rmtree(folder)
    if last not in responses:
        raise EngineError(
            f"reference: the flow of {type(maker).__name__} has no single job as its output; "
            "name a Maker of one calculation"
        )
    by_index = responses[last]
    return by_index[max(by_index)].output, None


def _version_of(path: str) -> str:
    """Version of the package that a dotted path begins with, which is imported by now."""
    package = path.partition(".")[0]
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return str(getattr(sys.modules.get(package), "__version__", "unknown"))


def _hint(value: str, choices: Iterable[str]) -> str:
    near = difflib.get_close_matches(value, list(choices), n=1)
    return f"; did you mean {near[0]}?" if near else ""
