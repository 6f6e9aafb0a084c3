"""What this machine has for a search, and what to do about what it lacks."""

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pyrite.errors import ConfigError, PyriteError, StoreError
from pyrite.launchers.workers import WORKER_ENVIRONMENT
from pyrite.reference_config import ReferenceConfig

if TYPE_CHECKING:
    from pyrite.config import SearchConfig

ENGINES = ("chgnet", "sevennet", "vasp", "gpaw")
SCRATCH_WANTED = 10**9
"""Bytes below which a folder is too small for calculations."""


class Verdict(StrEnum):
    """How a check ended."""

    OK = "ok"
    NOTE = "note"
    MISSING = "missing"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at; the text of what is missing names the remedy."""

    subject: str
    verdict: Verdict
    text: str


def examine(home: Path, config: "SearchConfig | None") -> Iterator[Finding]:
    """Look at everything that a search here needs, changing nothing.

    Parameters
    ----------
    home : directory of store, logs and launches, which need not exist
    config : a search; what only others need is a note
    """
    yield _attempt("store", lambda: _store(home))
    for engine in ENGINES:
        needed = config is not None and config.reference.engine == engine
        reference = config.reference if config is not None and needed else None
        yield _attempt(f"engine {engine}", partial(_engine, engine, reference), needed)
    if config is not None and config.reference.engine == "maker":
        yield _attempt("engine maker", lambda: _engine("maker", config.reference))
    vasp = config is not None and config.reference.engine == "vasp"
    yield _attempt("VASP", _vasp, vasp)
    if config is not None:
        yield _attempt("POTCARs", lambda: _potcars(config), vasp)
    yield _attempt("scratch", lambda: _scratch(home))
    yield _gpu()
    yield from _environment()


def _attempt(subject: str, look: Callable[[], str], needed: bool = True) -> Finding:
    try:
        return Finding(subject, Verdict.OK, look())
    except PyriteError as error:
        return Finding(subject, Verdict.MISSING if needed else Verdict.NOTE, str(error))


def _store(home: Path) -> str:
    from pyrite.launchers.local_store import MINIMUM_FREE
    from pyrite.launchers.processes import program
    from pyrite.launchers.session import attached
    from pyrite.settings import settings

    machine = settings()
    if machine.uri is not None:
        with attached(home, create=False) as session:
            count = len(session.store.list_searches())
            return f"MongoDB at {session.store.address}, {count} searches"
    command = program(machine.store_command)
    free = shutil.disk_usage(_nearest(home)).free
    if free < MINIMUM_FREE:
        raise StoreError(f"{_full(home, free)}; free some space, or choose another --home")
    return f"embedded ({command}), {free / 1e9:.1f} GB free for {home}"


def _nearest(folder: Path) -> Path:
    """The folder, or what there is of the way to it."""
    return next(one for one in (folder, *folder.absolute().parents) if one.exists())


def _full(folder: Path, free: int) -> str:
    return f"the disk that holds {folder} is full ({free / 1e6:.0f} MB free)"


def _engine(name: str, reference: ReferenceConfig | None) -> str:
    from pyrite.models.engines import check_engine, require_allowed
    from pyrite.settings import settings

    reference = reference or ReferenceConfig(engine=name)
    require_allowed(reference, settings().machine())
    check_engine(reference)
    if name == "gpaw":
        return _gpaw()
    return "can be used" if name != "vasp" else "through atomate2 and custodian"


def _gpaw() -> str:
    from pyrite.models.engines.gpaw import require_launcher
    from pyrite.settings import settings

    words = require_launcher(settings().machine())
    return f"started by {' '.join(words)}" if words else "one process"


def _vasp() -> str:
    from pyrite.models.engines.vasp import require_program
    from pyrite.settings import settings

    machine = settings().machine()
    return f"{machine.vasp_command} ({require_program(machine)})"


def _potcars(config: "SearchConfig") -> str:
    from pymatgen.core import Lattice, Structure

    from pyrite.models.composition import cell_content
    from pyrite.models.engines.vasp import require_potcars

    elements = sorted(set(cell_content(config.composition)))
    sites = [[k / len(elements)] * 3 for k in range(len(elements))]
    structure = Structure(Lattice.cubic(10.0), elements, sites)
    found = require_potcars(config.reference.vasp, structure)
    return f"{', '.join(found)} ({config.reference.vasp.potcar_functional})"


def _scratch(home: Path) -> str:
    from pyrite.settings import settings

    folder = settings().scratch or home
    free = shutil.disk_usage(_nearest(folder)).free
    if folder != home and not folder.is_dir():
        raise ConfigError(f"PYRITE_SCRATCH: there is no folder {folder}; make it, or name another")
    if not os.access(_nearest(folder), os.W_OK):
        raise ConfigError(f"{_nearest(folder)} cannot be written; set PYRITE_SCRATCH or --home")
    if free < SCRATCH_WANTED:
        raise ConfigError(f"{_full(folder, free)}: set PYRITE_SCRATCH to a larger one")
    return f"{folder}, {free / 1e9:.1f} GB free"


def _gpu() -> Finding:
    from pyrite.models.quiet import quietly

    with quietly():
        import torch

        names = [torch.cuda.get_device_name(k) for k in range(torch.cuda.device_count())]
    if names:
        return Finding("GPU", Verdict.OK, ", ".join(names))
    return Finding("GPU", Verdict.NOTE, "none that torch can use: networks run on the processor")


def _environment() -> Iterator[Finding]:
    """Variables that `pyrite run` sets for its workers, and rlaunch and qlaunch do not."""
    for name, value in WORKER_ENVIRONMENT.items():
        if name in os.environ:
            yield Finding(name, Verdict.OK, os.environ[name])
        else:
            text = f"not set; before rlaunch or qlaunch: export {name}={value} (pyrite run does)"
            yield Finding(name, Verdict.NOTE, text)
