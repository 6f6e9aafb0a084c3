"""What Pyrite knows of the Makers of one program, beside what all Makers have in common."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, ClassVar

# What says where and how a program runs, not what it calculates.
_OF_THE_MACHINE = ("command", "name", "task_document_kwargs", "wall_time")
_RUN = "run_"


class Adapter:
    """Of a Maker of which nothing more is known.

    Attributes
    ----------
    single_point : bool
        Whether a relaxation needs a single point in its last cell, since it keeps the basis or
        the k-points of the cell that it began with.
    """

    single_point = True

    def check(self, field: str, maker: Any) -> None:
        """Raise EngineError, naming ``field``, where the program or its data are missing."""

    def data(self, maker: Any) -> Mapping[str, Any]:
        """What decides the numbers and is not among the Maker's arguments."""
        return {}

    def limited(self, maker: Any, fmax: float, max_steps: int) -> Any:
        """The relaxation Maker with these limits (eV/Å), if it takes them as atomate2's ASE
        Makers do; others follow their own input sets."""
        if {"relax_kwargs", "steps"} <= {item.name for item in fields(maker)}:
            maker.relax_kwargs = {**maker.relax_kwargs, "fmax": fmax}
            maker.steps = max(max_steps, 2)
        return maker

    def document(self, runs: Sequence[Any]) -> Any:
        """One document in VASP's units, of a job and its restarts."""
        return runs[-1]

    def reason(self, folders: Iterable[Path]) -> str | None:
        """Why the program failed, in its own words, if it left any in these folders."""
        return None

    def spent(self, folders: Iterable[Path]) -> tuple[int, int]:
        """Evaluations and electronic steps of whatever ran in these folders."""
        return 1, 0


class ForceFields(Adapter):
    """Of atomate2's ASE Makers: no basis, no k-points."""

    single_point = False


class ProgramMaker:
    """A base of Makers that bring an adapter of their own."""

    adapter: ClassVar[Adapter]


def fingerprint(makers: Iterable[Any], adapter: Adapter) -> str:
    """What decides the numbers: all arguments of both Makers, defaults included, and their data."""
    parts = [_plain(maker) for maker in makers] + [dict(adapter.data(maker)) for maker in makers]
    text = json.dumps(parts, sort_keys=True, default=repr)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def measured(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Of a Maker's arguments, those that decide numbers."""
    return {
        key: value
        for key, value in settings.items()
        if key not in _OF_THE_MACHINE and not key.startswith(_RUN)
    }


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        arguments = {item.name: getattr(value, item.name) for item in fields(value)}
        return {"class": type(value).__qualname__, **_plain(measured(arguments))}
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if callable(value):
        return getattr(value, "__qualname__", type(value).__qualname__)
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def digest(paths: Iterable[Path]) -> str:
    """Of the contents of files, whatever their names."""
    hashes = sorted(hashlib.sha256(path.read_bytes()).hexdigest() for path in paths)
    return hashlib.sha256("".join(hashes).encode()).hexdigest()[:16]
