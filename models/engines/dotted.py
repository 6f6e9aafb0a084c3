"""atomate2 Makers by their dotted paths."""

import importlib
import importlib.metadata
import shutil
import sys
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pyrite.errors import EngineError, LabelError, PyriteError
from pyrite.machine import Keep, Machine
from pyrite.models.engines.abinit import Abinit
from pyrite.models.engines.adapters import Adapter, ForceFields, ProgramMaker, fingerprint, measured
from pyrite.models.engines.makers import MakerEngine, Makers
from pyrite.models.quiet import quietly
from pyrite.models.text import hint, one_line
from pyrite.reference_config import ReferenceConfig


def check(config: ReferenceConfig) -> None:
    """See :mod:`pyrite.models.engines`."""
    for name in ("static_maker", "relax_maker"):
        field = f"reference.{name}"
        maker = _build_maker(field, getattr(config, name), config.settings)
        _adapter(type(maker)).check(field, maker)


def make(config: ReferenceConfig, directory: Path, machine: Machine) -> MakerEngine:
    """See :mod:`pyrite.models.engines`."""
    return MakerEngine(makers=_load(config, machine.keep), directory=directory)


def _load(config: ReferenceConfig, keep: Keep) -> Makers:
    """Makers by dotted path."""
    static_path, relax_path = str(config.static_maker), str(config.relax_maker)
    static = _build_maker("reference.static_maker", static_path, config.settings)
    moving = _build_maker("reference.relax_maker", relax_path, config.settings)
    adapter = _adapter(type(static))

    def relax(fmax: float, max_steps: int) -> Any:
        maker = _build_maker("reference.relax_maker", relax_path, config.settings)
        return _adapter(type(maker)).limited(maker, fmax, max_steps)

    return Makers(
        engine=static_path,
        engine_version=_version_of(static_path),
        settings={
            "relax_maker": relax_path,
            **measured(config.settings),
            "arguments": fingerprint((static, moving), adapter),
        },
        static=static,
        relax=relax,
        run=partial(_run_with_jobflow, keep),
        single_point=_adapter(type(moving)).single_point,
        program=adapter.program,
    )


def _adapter(maker: type) -> Adapter:
    """What is known of the program that a Maker runs."""
    if issubclass(maker, ProgramMaker):
        return maker.adapter
    if _is_of(maker, "abinit"):
        return Abinit()
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
        ours = "StaticMaker" if field == "reference.static_maker" else "RelaxMaker"
        raise EngineError(
            f"{field}: {path!r} cannot be trusted with labels (docs/makers.md says why); "
            f"name pyrite.models.engines.cp2k.{ours}"
        )
    if _is_of(found, "vasp"):
        raise EngineError(
            f"{field}: labels of {path!r} would not tell POTCARs and versions of VASP apart, and "
            "its repairs change k-points and smearing; use reference.engine: vasp"
        )
    try:
        with quietly():
            return _with_settings(found, settings, path)
    except PyriteError:
        raise
    except Exception as error:
        raise EngineError(f"reference.settings: {path} refuses them ({one_line(error)})") from error


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
        if is_dataclass(default) and isinstance(value, Mapping):
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
        unwanted = keep is Keep.NONE or (keep is Keep.FAILED and not failed)
        for folder in _made_since(before):
            if unwanted or not any(folder.iterdir()):
                shutil.rmtree(folder, ignore_errors=True)
    return document, None


def _made_since(before: set[Path]) -> list[Path]:
    return sorted(folder for folder in set(Path.cwd().iterdir()) - before if folder.is_dir())


def _version_of(path: str) -> str:
    """Version of the package that a dotted path begins with, which is imported by now."""
    package = path.partition(".")[0]
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return str(getattr(sys.modules.get(package), "__version__", "unknown"))
