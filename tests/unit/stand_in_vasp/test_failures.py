"""Failures of the stand-in for VASP, and who sees them."""

import signal
import time
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from custodian.utils import tracked_lru_cache
from custodian.vasp import handlers, validators
from pymatgen.core import Structure
from pymatgen.io.vasp import Vasprun
from tests.stand_in_vasp import failures
from tests.unit.stand_in_vasp.runs import (
    QUIET,
    RELAX,
    STATIC,
    crystal,
    expected,
    free_energy,
    run_here,
    start,
    wait_for,
    write_inputs,
)

pytestmark = QUIET


def seen_by(handler: handlers.ErrorHandler, folder: Path) -> bool:
    tracked_lru_cache.tracked_cache_clear()
    return bool(handler.check(str(folder)))


def repaired(handler: handlers.ErrorHandler, folder: Path) -> dict:
    """Let custodian correct the inputs, run again, and give its changes to INCAR."""
    actions = handler.correct(str(folder))["actions"]
    assert run_here(folder) == 0
    assert not seen_by(handler, folder)
    changes: dict = {}
    for action in actions:
        changes |= action["action"].get("_set", {})
    return changes


def test_nobody_sees_anything_in_a_good_run(vasp):
    from atomate2.vasp.run import DEFAULT_HANDLERS

    checks = [
        *DEFAULT_HANDLERS,
        validators.VasprunXMLValidator(),
        validators.VaspFilesValidator(),
    ]
    for folder in (vasp({**STATIC, "KSPACING": 0.22}), vasp({**RELAX, "KSPACING": 0.22})):
        assert [check for check in checks if seen_by(check, folder)] == []


@pytest.mark.parametrize("algo", ["Fast", "All"])
def test_scf_never_converges(vasp, algo):
    folder = vasp({**STATIC, "ALGO": algo}, fail="scf")
    found = Vasprun(folder / "vasprun.xml")
    assert not found.converged_electronic
    assert len(found.ionic_steps[0]["electronic_steps"]) == STATIC["NELM"]
    assert free_energy(folder) == pytest.approx(expected(crystal())[0] + 0.4, abs=1e-6)
    assert seen_by(handlers.UnconvergedErrorHandler(), folder)


def test_scf_fast_converges_with_another_algorithm(vasp):
    folder = vasp(fail="scf_fast")
    handler = handlers.UnconvergedErrorHandler()
    assert seen_by(handler, folder)
    assert repaired(handler, folder)["ALGO"] == "All"
    assert free_energy(folder) == pytest.approx(expected(crystal())[0], abs=1e-6)


def test_a_long_relaxation_without_convergence_is_seen(vasp):
    folder = vasp({**RELAX, "NSW": 12, "EDIFFG": -1e-4}, fail="scf")
    assert seen_by(handlers.NonConvergingErrorHandler(), folder)
    assert not seen_by(handlers.NonConvergingErrorHandler(), vasp({**RELAX, "NSW": 12}))


def test_zbrent_is_repaired(vasp):
    folder = vasp(RELAX, fail="zbrent", code=1)
    handler = handlers.VaspErrorHandler()
    assert seen_by(handler, folder)
    assert handler.errors == {"zbrent"}
    assert repaired(handler, folder) == {"EDIFF": 1e-6, "NELMIN": 8}
    # It went on from CONTCAR.
    assert len(Vasprun(folder / "vasprun.xml").ionic_steps) > 1
    start = Structure.from_file(folder / "POSCAR").cart_coords
    assert not np.allclose(start, crystal().positions, atol=1e-3)


def test_zbrent_needs_a_line_search(vasp):
    vasp(STATIC, fail="zbrent")
    vasp({**RELAX, "IBRION": 1}, fail="zbrent")


@pytest.mark.parametrize("algo", ["Normal", "Fast", "VeryFast"])
def test_edddav_is_repaired(vasp, algo):
    folder = vasp({**STATIC, "ALGO": algo}, fail="edddav", code=1)
    handler = handlers.VaspErrorHandler()
    assert seen_by(handler, folder)
    assert handler.errors == {"edddav"}
    assert seen_by(validators.VasprunXMLValidator(), folder)
    assert repaired(handler, folder) == {"ALGO": "All", "ISEARCH": 1}


def test_entropy_is_repaired(vasp):
    folder = vasp(fail="entropy")
    handler = handlers.LargeSigmaHandler()
    assert seen_by(handler, folder)
    assert repaired(handler, folder)["SIGMA"] < 0.03


def test_memory_is_seen(vasp):
    folder = vasp(fail="memory", code=1)
    handler = handlers.StdErrHandler()
    assert seen_by(handler, folder)
    assert handler.errors == {"out_of_memory"}


def test_gapless_crystals_are_seen(vasp):
    folder = vasp({**RELAX, "ISMEAR": -5})
    assert seen_by(handlers.KspacingMetalHandler(), folder)
    assert seen_by(handlers.IncorrectSmearingHandler(), folder)


def test_a_crash_leaves_nothing(vasp):
    vasp()
    folder = vasp(fail="crash", code=1)
    assert (folder / "vasprun.xml").read_text() == ""
    assert seen_by(validators.VasprunXMLValidator(), folder)


@pytest.mark.parametrize("incar", [STATIC, RELAX])
def test_a_killed_run_leaves_half(tmp_path, incar):
    folder = write_inputs(tmp_path / "run", crystal(), incar)
    assert start(folder, STAND_IN_VASP_FAIL="killed").wait(20) == -signal.SIGKILL
    assert "<calculation>" in (folder / "vasprun.xml").read_text()
    assert "DAV:" in (folder / "OSZICAR").read_text()
    assert seen_by(validators.VasprunXMLValidator(), folder)
    assert not seen_by(validators.VaspFilesValidator(), folder)


def test_a_truncated_file_is_seen(vasp):
    folder = vasp(fail="truncated")
    assert seen_by(validators.VasprunXMLValidator(), folder)
    assert "General timing" in (folder / "OUTCAR").read_text()


def test_order_is_consistent_and_other(vasp):
    folder = vasp(fail="order")
    found = Vasprun(folder / "vasprun.xml")
    _, forces, _ = expected(crystal())
    assert found.atomic_symbols == ["Au", "Au", "Cu", "Cu"]
    np.testing.assert_allclose(found.ionic_steps[0]["forces"], forces[::-1], atol=1e-7)
    final = Structure.from_file(folder / "CONTCAR")
    np.testing.assert_allclose(final.cart_coords, crystal().positions[::-1], atol=1e-6)
    assert final == found.final_structure


def test_nan_passes_custodian(vasp):
    from atomate2.vasp.run import DEFAULT_HANDLERS

    folder = vasp({**STATIC, "KSPACING": 0.22}, fail="nan")
    found = Vasprun(folder / "vasprun.xml")
    assert np.isnan(found.final_energy)
    assert np.isnan(found.ionic_steps[0]["forces"]).all()
    assert [handler for handler in DEFAULT_HANDLERS if seen_by(handler, folder)] == []
    assert not seen_by(validators.VasprunXMLValidator(), folder)


@pytest.mark.filterwarnings("ignore:Calculation does not have a total energy")
def test_an_incomplete_file_passes_custodian(vasp):
    folder = vasp(fail="incomplete")
    found = Vasprun(folder / "vasprun.xml")
    assert np.isinf(found.final_energy)
    assert "forces" not in found.ionic_steps[0]
    assert found.converged
    assert not seen_by(validators.VasprunXMLValidator(), folder)


def test_absurd_energies_are_seen(vasp):
    folder = vasp(fail="absurd")
    assert free_energy(folder) == 1e6
    assert np.abs(Vasprun(folder / "vasprun.xml").ionic_steps[0]["forces"]).max() == 1e5
    assert seen_by(handlers.PositiveEnergyErrorHandler(), folder)


def test_a_hanging_run_is_seen_and_ends_on_sigterm(tmp_path):
    folder = write_inputs(tmp_path / "run", crystal(), STATIC)
    process = start(folder, STAND_IN_VASP_FAIL="hang")
    try:
        wait_for(lambda: "POSCAR found" in (folder / "vasp.out").read_text())
        time.sleep(0.6)
        assert seen_by(handlers.FrozenJobErrorHandler(timeout=0.5), folder)
        assert process.poll() is None
        process.terminate()
        assert process.wait(5) == -signal.SIGTERM
    finally:
        process.kill()
        process.wait()


def test_once_means_the_first_run_of_a_directory(vasp):
    vasp(fail="crash:once", code=1)
    vasp(fail="crash:once")
    vasp(fail="crash:once", folder="another", code=1)


def test_a_share_of_geometries_fails_again_and_again(vasp, monkeypatch):
    generator = np.random.default_rng(0)
    poscars = []
    for _ in range(400):
        scaled = generator.random((3, 3))
        cell = 4 * np.eye(3) + generator.random((3, 3))
        poscars.append(failures.Poscar("", ("Cu", "Cu", "Au"), cell, scaled))
    lots = np.array([failures.lot(poscar, failures.Mode.SCF) for poscar in poscars])
    assert 0.23 < (lots < 0.3).mean() < 0.37
    first = poscars[0]
    same = failures.Poscar("x", ("Al",) * 3, first.cell + 1e-9, first.scaled[::-1] + 1e-9)
    assert failures.lot(same, failures.Mode.SCF) == lots[0]
    assert failures.lot(first, failures.Mode.NAN) != lots[0]
    vasp(fail="crash:share=1.0", code=1)
    vasp(fail="crash:share=0")
    share = np.nextafter(lot_of(crystal(), failures.Mode.CRASH), 1)
    for _ in range(2):
        vasp(fail=f"crash:share={share!r}", code=1)


def lot_of(atoms: Atoms, mode: failures.Mode) -> float:
    symbols = tuple(atoms.get_chemical_symbols())
    cell, scaled = atoms.cell.array, atoms.get_scaled_positions(wrap=False)
    return failures.lot(failures.Poscar("", symbols, cell, scaled), mode)


def test_failures_combine(vasp):
    found = Vasprun(vasp(fail="order, nan") / "vasprun.xml")
    assert found.atomic_symbols == ["Au", "Au", "Cu", "Cu"]
    assert np.isnan(found.final_energy)
