"""What CrySPY 1.5.0 needs until it finds the ground state, with the same reference.

    pip install "pyrite-csp[benchmarks]"
    python -m benchmarks.sample_efficiency --methods cryspy-rs cryspy-ea --budget 100

CrySPY draws, breeds and ranks the crystals; every relaxation is that of
`benchmarks.random_search`: the same engine, criteria, count of energy-and-force evaluations
and success. CrySPY asks for them through its ASE interface. It would start one process for
each, which would load the model again; here the function that starts that process is replaced
by one that relaxes in this process and leaves the same files behind. CrySPY collects them at
its next step, one structure at a time, so a search ends with the relaxation that succeeds.

Relaxations are free, as in all our benchmarks (recipe ``free``), or keep the space group they
begin with, as in most of its authors' examples for ASE (``authors``); optimizer (BFGS, theirs as
well), forces, largest number of steps and success are the same.

Every relaxation is written when it is known. A search that was killed goes on by CrySPY's own
restart; if CrySPY was just writing its state, which it does not do in one step, then it begins
anew: with its seed it asks for the same relaxations, and those that are known cost nothing.
"""

import fcntl
import json
import time
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, NamedTuple
from unittest import mock

from ase.io import write
from pymatgen.core import Structure

from benchmarks import cryspy_program, random_search, stored
from benchmarks.minima import columns
from pyrite.documents import Crystal
from pyrite.models.engines.makers import MakerEngine
from pyrite.models.reference import ReferenceEngine

Algorithm = Literal["RS", "EA"]
Recipe = Literal["free", "authors"]


class Search(NamedTuple):
    """All that decides which relaxations CrySPY asks for, and what they come to."""

    system: str
    algorithm: Algorithm
    reference: str
    seed: int
    recipe: Recipe = "free"

    def folder(self, work: Path) -> Path:
        """Its own."""
        return work / f"{self.system}-{self.reference}-{self.recipe}-{self.algorithm}-{self.seed}"

    @property
    def twin(self) -> "Search":
        """The other algorithm: both begin with the same crystals, by their numbers."""
        return self._replace(algorithm="EA" if self.algorithm == "RS" else "RS")


class Relaxations:
    """CrySPY's jobs, run in this process; each is a file in ``folder``, by CrySPY's number.

    Attributes
    ----------
    ground, lowest : Crystal, float
        What `benchmarks.random_search.ground_state` gives; eV/atom.
    lock : Path
        There while CrySPY works, and not while a relaxation does.
    elsewhere : Path
        Where another search may have done the same relaxation.
    """

    def __init__(
        self,
        engine: ReferenceEngine,
        ground: Crystal,
        lowest: float,
        folder: Path,
        lock: Path,
        elsewhere: Path,
    ) -> None:
        self.engine, self.ground, self.lowest = engine, ground, lowest
        self.folder, self.lock, self.elsewhere = folder, lock, elsewhere
        folder.mkdir(parents=True, exist_ok=True)
        known = (json.loads(path.read_text()) for path in sorted(folder.glob("*.json")))
        self.rows: dict[int, dict[str, Any]] = {row["number"]: row for row in known}
        self.clock = time.perf_counter()

    def submit(self, _rin: Any, number: int, work: str) -> None:
        """In place of ``cryspy.job.ctrl_job.submit_next_struc``: do a job before returning."""
        job = Path(work)
        start = Crystal.from_structure(Structure.from_file(job / "POSCAR"))
        self.lock.unlink()  # nothing of CrySPY's is half written until this returns
        row = self._known(number, start) or self._relax(number, start)
        self.lock.touch()
        if "error" not in row:
            last = Crystal.model_validate(row["end"]).to_atoms()
            write(job / "CONTCAR", last, format="vasp", direct=True)
            (job / "log.tote").write_text(f"{row['energy_ev']!r}\n")
            (job / "out_check_opt").write_text("done\n" if row["converged"] else "not_yet\n")
        (job / "stat_job").write_text(f"{number}\n1\ndone\n")

    def _known(self, number: int, start: Crystal) -> dict[str, Any] | None:
        """A relaxation of this search, or of another one with the same crystals."""
        self.clock = time.perf_counter()
        begun = start.model_dump(mode="json")
        row = self.rows.get(number)
        if row is not None and row["start"] != begun:
            raise RuntimeError(
                f"CrySPY's structure {number} is not the one in {self.folder}; other versions of "
                "CrySPY or PyXtal draw other crystals: delete the folder to search anew"
            )
        if row is None:
            other = stored.read(self.elsewhere / f"{number:05d}.json")
            row = other if other.get("start") == begun else None
            if row is not None:
                self._keep(row)
        return row

    def _relax(self, number: int, start: Crystal) -> dict[str, Any]:
        judged, result = random_search.relaxed(self.engine, start, self.ground, self.lowest)
        row: dict[str, Any] = {"number": number} | judged
        now = time.perf_counter()
        # Since the last one: with CrySPY's own work.
        row["seconds"], self.clock = round(now - self.clock, 2), now
        print(json.dumps({name: row[name] for name in row if name != "crystal"}), flush=True)
        row["start"] = start.model_dump(mode="json")
        if result is not None:
            row |= {"energy_ev": result.energy, "end": result.crystal.model_dump(mode="json")}
        self._keep(row)
        return row

    def _keep(self, row: dict[str, Any]) -> None:
        path = self.folder / f"{row['number']:05d}.json"
        scratch = path.with_suffix(".part")
        scratch.write_text(json.dumps(row))
        scratch.replace(path)
        self.rows[row["number"]] = row

    def ended_by(self, budget: int) -> str | None:
        """Why the search need not go on."""
        counted = self._counted(budget)
        if any(row["success"] for row in counted):
            return "found"
        return "budget" if len(counted) == budget else None

    def _counted(self, budget: int) -> list[dict[str, Any]]:
        """In CrySPY's order, up to the first success or the budget."""
        rows = [self.rows[number] for number in sorted(self.rows)][:budget]
        successes = [index for index, row in enumerate(rows) if row["success"]]
        return rows[: successes[0] + 1] if successes else rows

    def summary(self, budget: int) -> dict[str, Any]:
        """What a search of at most ``budget`` relaxations came to."""
        rows = self._counted(budget)
        calls = sum(row["calls"] for row in rows)
        found = any(row["success"] for row in rows)
        return {
            "found": found,
            "reference_calls_first_found": calls if found else None,
            "reference_calls_converged": None,  # it has no end of its own
            "reference_calls": calls,
            "relaxations": len(rows),
            "failed": sum("error" in row for row in rows),
            "unconverged": sum(row.get("converged") is False for row in rows),
            "seconds": round(sum(row["seconds"] for row in rows), 1),
            "relaxed": columns(rows),
        }


def as_its_authors_do(engine: ReferenceEngine) -> ReferenceEngine:
    """An engine whose relaxations keep the space group of their start.

    Raises
    ------
    TypeError
        If the engine is no pair of Makers.
    """
    if not isinstance(engine, MakerEngine):
        raise TypeError(f"{type(engine).__name__} cannot relax within space groups")
    ours = engine.makers.relax

    def theirs(fmax: float, steps: int) -> Any:
        return replace(ours(fmax, steps), fix_symmetry=True)

    return replace(engine, makers=replace(engine.makers, relax=theirs))


def cryspy_row(
    search: Search, budget: int, work: Path, engine: ReferenceEngine, ground: Crystal, lowest: float
) -> dict[str, Any]:
    """One search of at most ``budget`` relaxations, which goes on where it was left.

    Parameters
    ----------
    work : Path
        Of all searches; each has a folder of its own there.
    engine : ReferenceEngine
        That of ``search.reference``.
    ground, lowest : Crystal, float
        What `benchmarks.random_search.ground_state` gives; eV/atom.

    Raises
    ------
    RuntimeError
        If another version of CrySPY is installed, if it stops with an error, or if it asks for
        another crystal than the one that was relaxed under the same number.
    """
    if version("csp-cryspy") != cryspy_program.VERSION:
        installed = version("csp-cryspy")
        raise RuntimeError(f"this drives CrySPY {cryspy_program.VERSION}, not {installed}")
    folder, twin = (one.folder(work.resolve()) for one in (search, search.twin))
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "search.lock").open("w") as alone:
        fcntl.flock(alone, fcntl.LOCK_EX)
        relaxations = Relaxations(
            engine if search.recipe == "free" else as_its_authors_do(engine),
            ground,
            lowest,
            folder / "relaxations",
            lock=folder / "cryspy" / "lock_cryspy",
            elsewhere=twin / "relaxations",
        )
        ended_by = _run(search, budget, folder / "cryspy", relaxations)
    settings = {
        "cryspy": cryspy_program.VERSION,
        "pyxtal": version("pyxtal"),
        "cryspy.in": _sections(search, budget),
        "budget": budget,
        "relaxations": search.recipe,
        "fmax_ev_per_a": random_search.FMAX,
        "max_steps": random_search.MAX_STEPS,
    }
    row = relaxations.summary(budget) | {"ended_by": ended_by}
    return row | {"ground_state_ev_per_atom": lowest, "settings": settings}


def _sections(search: Search, budget: int) -> dict[str, dict[str, Any]]:
    return cryspy_program.sections(search.system, search.algorithm, search.seed, budget)


def _run(search: Search, budget: int, folder: Path, relaxations: Relaxations) -> str:
    """Go on until there is a reason not to, which is returned."""
    from cryspy.job import ctrl_job

    ended_by = relaxations.ended_by(budget)
    if ended_by is not None:
        return ended_by
    with (
        cryspy_program.cryspy_in(folder, relaxations.lock, _sections(search, budget)),
        mock.patch.object(ctrl_job, "submit_next_struc", relaxations.submit),
    ):
        while ended_by is None:
            relaxations.lock.touch()
            more = cryspy_program.step()
            relaxations.lock.unlink()
            ended_by = relaxations.ended_by(budget) or (None if more else "cryspy")
    return ended_by
