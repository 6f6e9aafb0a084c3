"""What Pyrite knows of the Makers of one program, beside what all Makers have in common."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, ClassVar

from pyrite.errors import EngineError

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

    def program(self, document: Any) -> str | None:
        """Name and version of what calculated, if the document tells them."""
        return getattr(document, "program_version", None)

    def reason(self, folders: Iterable[Path]) -> str | None:
        """Why the program failed, in its own words, if it left any in these folders."""
        return None

    def spent(self, folders: Iterable[Path]) -> tuple[int, int]:
        """Evaluations and electronic steps of whatever ran in these folders."""
        return 1, 0


class ForceFields(Adapter):
    """Of atomate2's ASE Makers: no basis, no k-points. Models may be files."""

    single_point = False

    def check(self, _field: str, maker: Any) -> None:
        """See :class:`Adapter`."""
        for name, path in _paths(maker.calculator_kwargs, "calculator_kwargs"):
            if not path.exists():
                raise EngineError(f"reference.settings: {name}: there is no {path}; correct it")

    def data(self, maker: Any) -> Mapping[str, Any]:
        """See :class:`Adapter`."""
        found = [path for _, path in _paths(maker.calculator_kwargs, "calculator_kwargs")]
        inside = [one for path in found for one in (path, *path.rglob("*")) if one.is_file()]
        return {"models": digest(inside)} if inside else {}

    def program(self, document: Any) -> str | None:
        """See :class:`Adapter`."""
        version = getattr(document, "forcefield_version", None)
        return f"{document.forcefield_name.removeprefix('MLFF.')} {version}" if version else None


class ProgramMaker:
    """A base of Makers that bring an adapter of their own."""

    adapter: ClassVar[Adapter]


def fingerprint(makers: Mapping[str, tuple[Any, Adapter]]) -> str:
    """What decides the numbers: all arguments of Makers, defaults included, and their data."""
    parts = [_plain(maker) for maker, _ in makers.values()]
    parts += [dict(adapter.data(maker)) for maker, adapter in makers.values()]
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
    hashes = []
    for path in paths:
        with path.open("rb") as file:
            hashes.append(hashlib.file_digest(file, "sha256").hexdigest())
    return hashlib.sha256("".join(sorted(hashes)).encode()).hexdigest()[:16]


def _paths(value: Any, name: str) -> Iterator[tuple[str, Path]]:
    """Absolute paths anywhere in arguments, each with the argument's name."""
    if isinstance(value, Mapping):
        for key, one in value.items():
            yield from _paths(one, f"{name}.{key}")
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _paths(one, name)
    elif isinstance(value, str | Path) and Path(value).is_absolute():
        yield name, Path(value)
