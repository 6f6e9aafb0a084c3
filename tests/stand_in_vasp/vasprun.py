"""vasprun.xml, written as the calculation goes; it is valid XML once it is closed."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import numpy as np
import numpy.typing as npt
from tests.stand_in_vasp.bands import Bands
from tests.stand_in_vasp.incar import Value
from tests.stand_in_vasp.inputs import Inputs
from tests.stand_in_vasp.kpoints import KpointSet
from tests.stand_in_vasp.poscar import Poscar
from tests.stand_in_vasp.potential import IonicStep

KBAR = 1602.1766208
"""kB per eV/Å³; VASP's stress is positive under compression."""

Floats = npt.NDArray[np.float64]


class Vasprun:
    """A growing vasprun.xml.

    Parameters
    ----------
    path : Path
        Truncated at once.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("w", encoding="ISO-8859-1")

    def head(self, inputs: Inputs, poscar: Poscar, version: str) -> None:
        """Everything before the first ionic step; ``poscar`` in the order of the outputs."""
        now = datetime.now(UTC)
        generator = {
            "program": "vasp",
            "version": version,
            "subversion": "(stand-in for tests)",
            "platform": "none",
            "date": f"{now:%Y %m %d}",
            "time": f"{now:%H:%M:%S}",
        }
        self._write('<?xml version="1.0" encoding="ISO-8859-1"?>', "<modeling>", " <generator>")
        self._write(*(_item(name, value, 2) for name, value in generator.items()))
        self._write(" </generator>", " <incar>")
        self._write(*(_item(tag, value, 2) for tag, value in inputs.incar.items()), " </incar>")
        self._write(*_kpoints(inputs.kpoints))
        self._write(" <parameters>")
        for section, values in _parameters(inputs).items():
            self._write(f'  <separator name="{section}">')
            self._write(*(_item(name, value, 3) for name, value in values.items()))
            self._write("  </separator>")
        self._write(" </parameters>", *_atoms(inputs, poscar))
        self._write(*_structure(poscar.cell, poscar.scaled, name="initialpos"))
        self.flush()

    def open_step(self) -> None:
        """Begin an ionic step."""
        self._write(" <calculation>")

    def electronic_step(self, energy: float, shift: float) -> None:
        """Free energy and half the entropy term, eV."""
        self._write("  <scstep>", '   <time name="total">    0.01    0.01</time>')
        self._write(*_energies(energy, shift, 3), "  </scstep>")

    def ionic_step(self, step: IonicStep, *, with_forces: bool) -> None:
        """The answer for a geometry."""
        self._write(*_structure(step.cell, step.scaled))
        if with_forces:
            self._write(*_array("forces", step.forces, 2))
            self._write(*_array("stress", -KBAR * step.stress, 2))
        self._write(*_energies(step.energy, step.sigma_to_zero - step.energy, 2))
        self.flush()

    def close_step(self, bands: Bands | None = None) -> None:
        """End an ionic step, the last one with the band energies."""
        if bands is not None:
            self._write(*_eigenvalues(bands), *_dos(bands))
        self._write(" </calculation>")

    def flush(self) -> None:
        """Show what there is to other processes."""
        self._file.flush()

    def close(self) -> None:
        """Close the file, whatever it lacks."""
        self._file.close()

    def finish(self, last: IonicStep) -> None:
        """Make it valid XML."""
        self._write(*_structure(last.cell, last.scaled, name="finalpos"), "</modeling>")

    def _write(self, *lines: str) -> None:
        self._file.write("\n".join(lines) + "\n")


# ------------------------------------------------------------------ the parts


def _parameters(inputs: Inputs) -> dict[str, dict[str, Any]]:
    """What VASP took for every tag; readers rely on those that are here."""
    settings, incar = inputs.settings, inputs.incar

    def given(tag: str, default: Value) -> Value:
        return incar.get(tag, default)

    return {
        "general": {"SYSTEM": given("SYSTEM", "unknown system"), "LCOMPAT": False},
        "electronic": {
            "PREC": given("PREC", "normal"),
            "ENMAX": given("ENCUT", 400.0),
            "EDIFF": settings.ediff,
            "IALGO": given(
                "IALGO", {"normal": 38, "fast": 68, "veryfast": 48}.get(settings.algo, 58)
            ),
            "NBANDS": inputs.bands,
            "NELECT": inputs.electrons,
            "NELM": settings.nelm,
            "NELMIN": settings.nelmin,
            "NELMDL": given("NELMDL", -5),
            "ISMEAR": settings.ismear,
            "SIGMA": settings.sigma,
            "KSPACING": given("KSPACING", 0.5),
            "KGAMMA": settings.kgamma,
            "LREAL": bool(given("LREAL", False)),
            "ISTART": given("ISTART", 0),
            "ICHARG": given("ICHARG", 2),
            "ISPIN": settings.ispin,
            "LNONCOLLINEAR": False,
            "LSORBIT": False,
            "MAGMOM": given("MAGMOM", [1.0] * len(inputs.poscar.symbols)),
            "LASPH": given("LASPH", False),
            "LMETAGGA": "METAGGA" in incar,
        },
        "exchange correlation": {
            "GGA": given("GGA", "PE"),
            "LDAU": given("LDAU", False),
            "LHFCALC": given("LHFCALC", False),
            "AEXX": given("AEXX", 0.0),
            "HFSCREEN": given("HFSCREEN", 0.0),
            "LUSE_VDW": given("LUSE_VDW", False),
            "IVDW": given("IVDW", 0),
        },
        "ionic": {
            "NSW": settings.nsw,
            "IBRION": settings.ibrion,
            "ISIF": settings.isif,
            "EDIFFG": settings.ediffg,
            "POTIM": given("POTIM", 0.5),
            "ISYM": given("ISYM", 2),
            "SYMPREC": given("SYMPREC", 1e-5),
        },
        "output": {
            "LORBIT": settings.lorbit,
            "LWAVE": given("LWAVE", True),
            "LCHARG": given("LCHARG", True),
            "NEDOS": given("NEDOS", 301),
        },
        "linear response": {"LEPSILON": False, "LOPTICS": False, "LCHIMAG": False},
    }


def _item(name: str, value: Any, indent: int) -> str:
    """One tag and its value, in the kinds of XML elements that VASP has for them."""
    start = " " * indent
    match value:
        case bool():
            return f'{start}<i type="logical" name="{name}">{"T" if value else "F":>3}</i>'
        case int():
            return f'{start}<i type="int" name="{name}">{value:6d}</i>'
        case float():
            return f'{start}<i name="{name}">{value:16.8f}</i>'
        case list():
            kind = ' type="int"' if all(isinstance(x, int) for x in value) else ""
            text = "".join(f"{x:6d}" if kind else f"{x:16.8f}" for x in value)
            return f'{start}<v{kind} name="{name}">{text}</v>'
    return f'{start}<i type="string" name="{name}">{escape(str(value))}</i>'


def _array(name: str, rows: Floats, indent: int) -> list[str]:
    start = " " * indent
    body = (f"{start} <v>{''.join(f'{x:17.8f}' for x in row)}</v>" for row in rows)
    return [f'{start}<varray name="{name}">', *body, f"{start}</varray>"]


def _energies(energy: float, shift: float, indent: int) -> list[str]:
    values = {
        "e_fr_energy": energy,
        "e_wo_entrp": energy + 2 * shift,
        "e_0_energy": energy + shift,
    }
    start = " " * indent
    body = (_item(name, float(value), indent + 1) for name, value in values.items())
    return [f"{start}<energy>", *body, f"{start}</energy>"]


def _structure(cell: Floats, scaled: Floats, name: str = "") -> list[str]:
    reciprocal = np.linalg.inv(cell).T
    return [
        f' <structure name="{name}">' if name else "  <structure>",
        "   <crystal>",
        *_array("basis", cell, 4),
        _item("volume", float(abs(np.linalg.det(cell))), 4),
        *_array("rec_basis", reciprocal, 4),
        "   </crystal>",
        *_array("positions", scaled, 3),
        "  </structure>",
    ]


def _kpoints(kpoints: KpointSet) -> Iterable[str]:
    yield " <kpoints>"
    if kpoints.divisions is not None:
        yield f'  <generation param="{kpoints.style}">'
        yield (
            '   <v type="int" name="divisions">'
            + "".join(f"{n:9d}" for n in kpoints.divisions)
            + "</v>"
        )
        rows = {"usershift": np.zeros(3), "shift": np.zeros(3)}
        for axis, divisions in enumerate(kpoints.divisions):
            rows[f"genvec{axis + 1}"] = np.eye(3)[axis] / divisions
        for name, row in rows.items():
            yield _item(name, row.tolist(), 3)
        yield "  </generation>"
    yield from _array("kpointlist", kpoints.points, 2)
    yield from _array("weights", kpoints.weights[:, None], 2)
    yield " </kpoints>"


def _atoms(inputs: Inputs, poscar: Poscar) -> Iterable[str]:
    backwards = poscar.symbols != inputs.poscar.symbols
    potcar = inputs.potcar[::-1] if backwards else inputs.potcar
    groups = poscar.groups
    yield " <atominfo>"
    yield f"  <atoms>{len(poscar.symbols):8d} </atoms>"
    yield f"  <types>{len(groups):8d} </types>"
    rows: list[Sequence[Any]] = [
        (f"{symbol:<2}", number)
        for number, (symbol, count) in enumerate(groups, start=1)
        for _ in range(count)
    ]
    yield from _table("atoms", "ion", {"element": "string", "atomtype": "int"}, rows)
    fields = {
        "atomspertype": "int",
        "element": "string",
        "mass": "",
        "valence": "",
        "pseudopotential": "string",
    }
    rows = [
        (
            count,
            f"{symbol:<2}",
            f"{entry.mass:16.8f}",
            f"{entry.valence:16.8f}",
            f"{entry.titel:<40}",
        )
        for (symbol, count), entry in zip(groups, potcar, strict=True)
    ]
    yield from _table("atomtypes", "type", fields, rows)
    yield " </atominfo>"


def _table(
    name: str, dimension: str, fields: Mapping[str, str], rows: Iterable[Sequence[Any]]
) -> Iterable[str]:
    yield f'  <array name="{name}" >'
    yield f'   <dimension dim="1">{dimension}</dimension>'
    for field, kind in fields.items():
        yield f'   <field type="{kind}">{field}</field>' if kind else f"   <field>{field}</field>"
    yield "   <set>"
    for row in rows:
        yield f"    <rc>{''.join(f'<c>{cell}</c>' for cell in row)}</rc>"
    yield "   </set>"
    yield "  </array>"


def _eigenvalues(bands: Bands) -> Iterable[str]:
    yield "  <eigenvalues>"
    yield "   <array>"
    for number, dimension in enumerate(("band", "kpoint", "spin"), start=1):
        yield f'    <dimension dim="{number}">{dimension}</dimension>'
    yield "    <field>eigene</field>"
    yield "    <field>occ</field>"
    yield "    <set>"
    for spin in range(1, bands.spins + 1):
        yield f'     <set comment="spin {spin}">'
        for number, row in enumerate(bands.energies, start=1):
            yield f'      <set comment="kpoint {number}">'
            for band, energy in enumerate(row):
                occupied = 1.0 if band < bands.occupied else 0.0
                yield f"       <r>{energy:10.4f}{occupied:10.4f} </r>"
            yield "      </set>"
        yield "     </set>"
    yield "    </set>"
    yield "   </array>"
    yield "  </eigenvalues>"


def _dos(bands: Bands) -> Iterable[str]:
    """A flat density of states: readers want one, and the Fermi energy in it."""
    yield "  <dos>"
    yield "   " + _item("efermi", bands.fermi, 0)
    yield "   <total>"
    yield "    <array>"
    yield '     <dimension dim="1">gridpoints</dimension>'
    yield '     <dimension dim="2">spin</dimension>'
    for field in ("energy", "total", "integrated"):
        yield f"     <field>{field}</field>"
    yield "     <set>"
    grid = np.linspace(bands.energies.min() - 1, bands.energies.max() + 1, 11)
    density = bands.energies.shape[1] / (grid[-1] - grid[0])
    for spin in range(1, bands.spins + 1):
        yield f'      <set comment="spin {spin}">'
        for energy in grid:
            total = density * (energy - grid[0])
            yield f"       <r>{energy:10.4f}{density:10.4f}{total:10.4f} </r>"
        yield "      </set>"
    yield "     </set>"
    yield "    </array>"
    yield "   </total>"
    yield "  </dos>"
