"""What ``pyrite doctor`` finds, and what it says to do."""

import shutil
import sys
from collections import namedtuple
from pathlib import Path

import pymatgen.core
import pytest
from tests.stand_in_vasp import potcars
from typer.testing import CliRunner

from pyrite.config import SearchConfig
from pyrite.launchers import cli
from pyrite.launchers.doctor import Finding, Verdict, examine
from pyrite.launchers.workers import WORKER_ENVIRONMENT

VASP = SearchConfig(composition="Cu2Au2", name="x", reference={"engine": "vasp"})


def found(home: Path, config: SearchConfig | None = None) -> dict[str, Finding]:
    return {one.subject: one for one in examine(home, config)}


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ATOMATE2_VASP_CMD", "VASP_CMD", *WORKER_ENVIRONMENT):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setitem(pymatgen.core.SETTINGS, "PMG_VASP_PSP_DIR", None)


def test_a_machine_without_vasp_is_well_enough_for_others(tmp_path: Path) -> None:
    home = tmp_path / "new"
    seen = found(home)
    assert not home.exists(), "looking changes nothing"
    assert seen["store"].verdict is Verdict.OK
    assert seen["engine chgnet"].verdict is seen["engine sevennet"].verdict is Verdict.OK
    assert seen["VASP"].verdict is Verdict.NOTE
    assert "PYRITE_VASP_COMMAND" in seen["VASP"].text
    assert {one.verdict for one in seen.values()} <= {Verdict.OK, Verdict.NOTE}


def test_a_vasp_search_wants_its_program_and_its_potcars(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = found(tmp_path, VASP)
    assert seen["VASP"].verdict is seen["POTCARs"].verdict is Verdict.MISSING
    assert "PMG_VASP_PSP_DIR" in seen["POTCARs"].text

    potcars.write_potcars(tmp_path, ["Cu"])
    monkeypatch.setitem(pymatgen.core.SETTINGS, "PMG_VASP_PSP_DIR", str(tmp_path))
    assert "Au" in found(tmp_path, VASP)["POTCARs"].text

    potcars.write_potcars(tmp_path, ["Au"])
    monkeypatch.setenv("VASP_CMD", f"env {sys.executable}")
    seen = found(tmp_path, VASP)
    assert seen["VASP"].verdict is Verdict.OK
    assert sys.executable in seen["VASP"].text
    assert (seen["POTCARs"].verdict, seen["POTCARs"].text) == (Verdict.OK, "Cu_pv, Au (PBE_64)")


def test_scratch_and_full_disks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYRITE_SCRATCH", str(tmp_path / "nowhere"))
    assert "make it, or name another" in found(tmp_path)["scratch"].text
    monkeypatch.setenv("PYRITE_SCRATCH", str(tmp_path))
    assert found(tmp_path)["scratch"].verdict is Verdict.OK
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**6))
    seen = found(tmp_path)
    assert seen["scratch"].verdict is seen["store"].verdict is Verdict.MISSING
    assert "is full (1 MB free)" in seen["store"].text


def test_variables_of_workers_are_named_with_their_values(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    seen = found(tmp_path)
    assert (seen["OMP_NUM_THREADS"].verdict, seen["OMP_NUM_THREADS"].text) == (Verdict.OK, "2")
    assert "export MALLOC_TRIM_THRESHOLD_=17179869184" in seen["MALLOC_TRIM_THRESHOLD_"].text


@pytest.mark.parametrize(("engine", "code"), [("chgnet", 0), ("vasp", 2)])
def test_the_command_says_so_and_ends_with_2_if_something_is_missing(
    tmp_path: Path, engine: str, code: int
) -> None:
    search = tmp_path / "search.yaml"
    search.write_text(f"composition: Cu2Au2\nreference: {{engine: {engine}}}\n")
    done = CliRunner().invoke(cli.app, ["doctor", str(search), "--home", str(tmp_path / "home")])
    assert done.exit_code == code, done.output
    assert ("missing" in done.output) == bool(code)
    assert not (tmp_path / "home").exists()
