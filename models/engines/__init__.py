"""Which reference engines there are. One module for each kind, imported when it is needed.

Such a module has ``check(config)``, which finds out whether the engine can run without loading
it, and ``make(config, directory, machine)``, which gives a :class:`pyrite.models.reference.ReferenceEngine`.
Both raise :class:`pyrite.errors.EngineError` naming the field, its value and what to do.
"""

from importlib import import_module
from pathlib import Path
from typing import Any

from pyrite.errors import EngineError
from pyrite.machine import Machine
from pyrite.models.reference import ReferenceEngine
from pyrite.models.text import hint
from pyrite.reference_config import ReferenceConfig

_MODULES = {
    "chgnet": "force_fields",
    "sevennet": "force_fields",
    "vasp": "vasp",
    "gpaw": "gpaw",
    "maker": "dotted",
}


def check_engine(config: ReferenceConfig) -> None:
    """Find out whether the engine can run, without loading it.

    Raises
    ------
    EngineError
        When the engine is unknown, not installed, or does not take its settings.
    """
    _module(config).check(config)


def make_engine(
    config: ReferenceConfig, directory: Path, machine: Machine | None = None
) -> ReferenceEngine:
    """The engine that ``config`` names; its calculations run inside ``directory``.

    Parameters
    ----------
    machine : what the engine may use; the defaults without it

    Raises
    ------
    EngineError
        As :func:`check_engine`, or when the engine does not load.
    """
    machine = machine or Machine()
    require_allowed(config, machine)
    check_engine(config)
    engine: ReferenceEngine = _module(config).make(config, directory.resolve(), machine)
    return engine


def require_allowed(config: ReferenceConfig, machine: Machine) -> None:
    """Refuse Makers that the machine's owner has not allowed, before any of them is imported.

    Raises
    ------
    EngineError
        When one of the two is not among ``machine.makers``.
    """
    if config.makers is not None and not machine.allows(config.makers):
        raise EngineError(
            f"reference.static_maker, relax_maker: {config.makers} may not run here, where "
            f"PYRITE_MAKERS is '{machine.makers}'; if you know who wrote the search, start this "
            f"process with PYRITE_MAKERS='{config.makers}'"
        )


def _module(config: ReferenceConfig) -> Any:
    name = _MODULES.get(config.engine)
    if name is None:
        raise EngineError(
            f"reference.engine: {config.engine!r} is not an engine; "
            f"choose from {', '.join(_MODULES)}{hint(config.engine, _MODULES)}"
        )
    return import_module(f"pyrite.models.engines.{name}")
