"""atomate2 Makers by their dotted paths."""

import contextlib
import importlib
import importlib.metadata
import logging
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pyrite.errors import EngineError, LabelError, PyriteError
from pyrite.machine import Keep, Machine
from pyrite.models.engines.abinit import Abinit
from pyrite.models.engines.adapters import Adapter, ForceFields, ProgramMaker, fingerprint, measured
from pyrite.models.engines.makers import MakerEngine, Makers
from pyrite.models.engines.vasp_makers import VaspMakers
from pyrite.models.quiet import quietly
from pyrite.models.text import hint, one_line
from pyrite.reference_config import ReferenceConfig

# To which atomate2's ABINIT jobs add a file each time, and never close it (0.1.6).
_LOGGERS = ("abipy", "atomate2", "pymatgen.io.abinit")
_STATIC, _RELAX = "reference.static_maker", "reference.relax_maker"


def check(config: ReferenceConfig) -> None:
    """See :mod:`pyrite.models.engines`."""
    makers = {
        field: (path, _build_maker(field, path, config.settings))
        for field, path in _paths(config).items()
    }
    programs = {_program(type(maker)) for _, maker in makers.values()} - {None}
    if len(programs) > 1:
        raise EngineError(
            f"{_RELAX}: {config.relax_maker!r} is about a program other than that of "
            f"{config.static_maker!r}; name two Makers of one program"
        )
    for field, (path, maker) in makers.items():
        with _refusals(path):
            adapter = _adapter(type(maker))
            adapter.check(field, maker)
            adapter.limited(maker, 0.1, 10)


def make(config: ReferenceConfig, directory: Path, machine: Machine) -> MakerEngine:
    """See :mod:`pyrite.models.engines`."""
    return MakerEngine(makers=_load(config, machine.keep), directory=directory)


def _load(config: ReferenceConfig, keep: Keep) -> Makers:
    """Makers by dotted path."""
    paths = _paths(config)
    built = {field: _build_maker(field, path, config.settings) for field, path in paths.items()}
    makers = {field: (maker, _adapter(type(maker))) for field, maker in built.items()}
    static, adapter = makers[_STATIC]
    static_path, relax_path = paths[_STATIC], paths[_RELAX]
    with _refusals(static_path):
        arguments = fingerprint(makers)

    def relax(fmax: float, max_steps: int) -> Any:
        maker = _build_maker(_RELAX, relax_path, config.settings)
        return makers[_RELAX][1].limited(maker, fmax, max_steps)

    return Makers(
        engine=static_path,
        engine_version=_version_of(static_path),
        settings={
            "relax_maker": relax_path,
            **measured(config.settings),
            "arguments": arguments,
        },
        static=static,
        relax=relax,
        run=partial(_run_with_jobflow, keep),
        single_point=makers[_RELAX][1].single_point,
        program=adapter.program,
    )


def _paths(config: ReferenceConfig) -> dict[str, str]:
    """Dotted paths of the two Makers, by the fields that name them."""
    return {_STATIC: str(config.static_maker), _RELAX: str(config.relax_maker)}


def _program(maker: type) -> str | None:
    """What tells the program of a Maker from others; None of one that is not known."""
    if issubclass(maker, ProgramMaker):
        return type(maker.adapter).__name__
    for base in maker.__mro__:
        if "_get_calculator" in vars(base):  # ASE's
            return base.__qualname__ if base.__module__.startswith("atomate2.") else None
    programs = (base.__module__.split(".") for base in maker.__mro__)
    return next((one[1] for one in programs if one[0] == "atomate2" and len(one) > 1), None)


@contextlib.contextmanager
def _refusals(path: str) -> Iterator[None]:
    """Whatever a Maker says against its settings, as an EngineError."""
    try:
        with quietly():
            yield
    except PyriteError:
        raise
    except Exception as error:
        raise EngineError(f"reference.settings: {path} refuses them ({one_line(error)})") from error


def _adapter(maker: type) -> Adapter:
    """What is known of the program that a Maker runs."""
    if issubclass(maker, ProgramMaker):
        return maker.adapter
    if _is_of(maker, "abinit"):
        return Abinit()
    if _is_of(maker, "vasp"):
        return VaspMakers()
    return ForceFields() if _is_of(maker, "ase") or _is_of(maker, "forcefields") else Adapter()


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
    if found.__module__.startswith("atomate2.cp2k."):
        ours = "StaticMaker" if field == _STATIC else "RelaxMaker"
        raise EngineError(
            f"{field}: {path!r} cannot be trusted with labels (docs/makers.md says why); "
            f"name pyrite.models.engines.cp2k.{ours}"
        )
    with _refusals(path):
        return _with_settings(found, settings, path)


def _with_settings(made: Any, settings: Mapping[str, Any], path: str) -> Any:
    """``made(**settings)``; a mapping for an argument that is a dataclass by default, such as
    an input set, gives arguments of that."""
    accepted = {item.name: item for item in fields(made) if item.init}
    arguments = dict(settings)
    for key, value in settings.items():
        if key not in accepted:
            raise EngineError(
                f"reference.settings: {key!r} is not an argument of {path}; "
                f"choose from {', '.join(accepted)}{hint(key, accepted)}"
            )
        default = _default(accepted[key])
        if value is None or not (is_dataclass(default) or isinstance(default, Mapping)):
            continue
        if not isinstance(value, Mapping):
            raise EngineError(
                f"reference.settings: {key} of {path} must be a mapping, and is {value!r}"
            )
        if is_dataclass(default):
            arguments[key] = _with_settings(type(default), value, f"{path}'s {key}")
    return made(**arguments)


def _default(item: "Field[Any]") -> Any:
    return item.default if item.default_factory is MISSING else item.default_factory()


def _is_of(maker: type, program: str) -> bool:
    """Whether a Maker is derived from those that atomate2 has for ``program``."""
    return any(base.__module__.startswith(f"atomate2.{program}.") for base in maker.__mro__)


def _run_with_jobflow(keep: Keep, maker: Any, structure: Any) -> tuple[Any, None]:
    """Run a Job or Flow in a folder of its own below the working directory."""
    from jobflow import Job, JobStore, run_locally
    from maggma.stores import MemoryStore

    work, adapter = maker.make(structure), _adapter(type(maker))
    last = work.uuid if isinstance(work, Job) else getattr(work.output, "uuid", None)
    before = set(Path.cwd().iterdir())
    failed = True
    handlers = {name: list(logging.getLogger(name).handlers) for name in _LOGGERS}
    try:
        responses = run_locally(
            work,
            log=False,
            store=JobStore(MemoryStore(), additional_stores={"data": MemoryStore()}),
            create_folders=True,
            ensure_success=True,
            raise_immediately=True,
        )
        if last not in responses:
            raise EngineError(
                f"reference: the flow of {type(maker).__name__} has no single job as its output; "
                "name a Maker of one calculation"
            )
        runs = [responses[last][index].output for index in sorted(responses[last])]
        document = adapter.document(runs)
        failed = False
    except EngineError:
        raise
    except Exception as error:
        folders = _made_since(before)
        said = str(error) if isinstance(error, LabelError) else None
        reason = said or adapter.reason(folders) or f"{type(maker).__name__}: {one_line(error)}"
        calls, cycles = adapter.spent(folders)
        kept = [] if keep is Keep.NONE else [str(folder) for folder in folders]
        details = {"scf_cycles": cycles, "folders": kept}
        raise LabelError(reason, calls=calls, details=details) from error
    finally:
        _close_others(handlers)
        unwanted = keep is Keep.NONE or (keep is Keep.FAILED and not failed)
        for folder in _made_since(before):
            if unwanted or not any(folder.iterdir()):
                shutil.rmtree(folder, ignore_errors=True)
    return document, None


def _close_others(handlers: Mapping[str, list[logging.Handler]]) -> None:
    """Close what a job has added to loggers: a log file that stays open for each calculation."""
    for name, known in handlers.items():
        logger = logging.getLogger(name)
        for added in [one for one in logger.handlers if one not in known]:
            logger.removeHandler(added)
            added.close()


def _made_since(before: set[Path]) -> list[Path]:
    return sorted(folder for folder in set(Path.cwd().iterdir()) - before if folder.is_dir())


def _version_of(path: str) -> str:
    """Version of the package that a dotted path begins with, which is imported by now."""
    package = path.partition(".")[0]
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return str(getattr(sys.modules.get(package), "__version__", "unknown"))
