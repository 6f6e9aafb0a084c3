"""A search's ranking as files that other programs read."""

import csv
from pathlib import Path

from pyrite.errors import ConfigError
from pyrite.launchers.formats import Format
from pyrite.models.structure_files import structure_text
from pyrite.results import RankedCrystal, Result


def export(result: Result, format: Format, directory: Path) -> list[Path]:  # noqa: A002
    """Write the ranking.

    CIF and POSCAR give one file per crystal, ``NAME-1.cif`` and ``NAME-1.vasp``;
    extxyz and CSV one file of all, ``NAME.extxyz`` and ``NAME.csv``.

    Returns
    -------
    list of Path
        The files, in order of rank.

    Raises
    ------
    ConfigError
        The directory cannot be made or written.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        return _WRITERS[format](result, directory)
    except OSError as error:
        raise ConfigError(
            f"cannot write to {error.filename or directory} ({error.strerror}); "
            "choose another directory with -o"
        ) from None


def _cif(result: Result, directory: Path) -> list[Path]:
    return [
        _written(
            directory / f"{result.search_id}-{one.rank}.cif", structure_text(one.crystal, "cif")
        )
        for one in result.ranking
    ]


def _poscar(result: Result, directory: Path) -> list[Path]:
    return [
        _written(
            directory / f"{result.search_id}-{one.rank}.vasp", structure_text(one.crystal, "poscar")
        )
        for one in result.ranking
    ]


def _extxyz(result: Result, directory: Path) -> list[Path]:
    from ase.io import write

    frames = []
    for one in result.ranking:
        atoms = one.crystal.to_atoms()
        atoms.info |= {
            "rank": one.rank,
            "energy": one.energy_ev_per_atom * len(atoms),  # eV, whole cell
            "space_group": one.space_group_symbol,
        }
        frames.append(atoms)
    path = directory / f"{result.search_id}.extxyz"
    write(path, frames, format="extxyz")
    return [path]


def _csv(result: Result, directory: Path) -> list[Path]:
    path = directory / f"{result.search_id}.csv"
    columns = [
        name for name in RankedCrystal.model_fields if name not in {"candidate_ids", "crystal"}
    ]
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, ["formula", *columns], extrasaction="ignore")
        table.writeheader()
        for one in result.ranking:
            formula = one.crystal.to_structure().composition.reduced_formula
            table.writerow({"formula": formula, **one.model_dump(mode="json")})
    return [path]


def _written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


_WRITERS = {Format.CIF: _cif, Format.POSCAR: _poscar, Format.EXTXYZ: _extxyz, Format.CSV: _csv}
