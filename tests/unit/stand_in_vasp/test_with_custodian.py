"""The stand-in for VASP with everything else real."""

import json
import os
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest
from pymatgen.io.ase import AseAtomsAdaptor
from tests.stand_in_vasp import failures, potcars
from tests.unit.stand_in_vasp.runs import (
    QUIET,
    SCRIPT,
    STATIC,
    crystal,
    expected,
    free_energy,
    start,
    write_inputs,
)

pytestmark = QUIET


def test_it_starts_quickly_by_path(tmp_path):
    folder = write_inputs(tmp_path / "run", crystal(), STATIC)
    started = time.perf_counter()
    assert start(folder).wait(20) == 0
    assert time.perf_counter() - started < 5  # 0.7 s on an idle machine
    assert free_energy(folder) == pytest.approx(expected(crystal())[0], abs=1e-6)


def test_dummy_potcars_serve_every_functional(tmp_path):
    elements = ["Cu", "Au"]
    subprocess.run([sys.executable, potcars.__file__, str(tmp_path), *elements], check=True)
    from pymatgen.io.vasp.inputs import POTCAR_FUNCTIONAL_MAP, PotcarSingle

    for functional in ("PBE", "PBE_52", "PBE_54", "PBE_64", "PBE_52_W_HASH", "PBE_54_W_HASH"):
        folder = tmp_path / POTCAR_FUNCTIONAL_MAP[functional]
        for element in elements:
            for variant in ("", "_pv", "_sv"):
                single = PotcarSingle.from_file(folder / f"POTCAR.{element}{variant}")
                assert (single.symbol, single.element) == (element + variant, element)
                assert single.functional == "PBE"
                assert single.zval == 11


def test_atomate2_runs_it_under_custodian(tmp_path):
    """Stock Maker, default handlers; the first run does not converge, and is repaired."""
    potcars.write_potcars(tmp_path / "potcars", ["Cu", "Au"])
    (tmp_path / "crystal.json").write_text(AseAtomsAdaptor.get_structure(crystal()).to_json())
    script = textwrap.dedent(
        """
        import json, sys, warnings
        warnings.simplefilter("ignore")
        from atomate2.vasp.jobs.matpes import MatPesGGAStaticMaker
        from jobflow import run_locally
        from pymatgen.core import Structure

        maker = MatPesGGAStaticMaker(
            run_vasp_kwargs={"custodian_kwargs": {"polling_time_step": 0.2, "monitor_freq": 5}}
        )
        job = maker.make(Structure.from_file("crystal.json"))
        responses = run_locally(job, create_folders=True, ensure_success=True, log=False)
        document = responses[job.uuid][1].output
        step = document.calcs_reversed[0].output.ionic_steps[-1]
        corrections = [c for entry in document.custodian for c in entry.corrections]
        json.dump(
            {
                "state": str(document.state.value),
                "energy": document.output.energy,
                "free": step.e_fr_energy,
                "forces": document.output.forces,
                "stress": document.output.stress,
                "symbols": [site.specie.symbol for site in document.output.structure],
                "run_type": str(document.run_type.value),
                "corrections": len(corrections),
            },
            open("answer.json", "w"),
        )
        """
    )
    environment = {
        **os.environ,
        "ATOMATE2_VASP_CMD": f"{sys.executable} {SCRIPT}",
        "OMP_NUM_THREADS": "1",
        "PMG_VASP_PSP_DIR": str(tmp_path / "potcars"),
        failures.VARIABLE: "scf_fast",
    }
    subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=environment, check=True, timeout=60
    )
    answer = json.loads((tmp_path / "answer.json").read_text())
    energy, forces, stress = expected(crystal())
    assert answer["state"] == "successful"
    assert answer["symbols"] == crystal().get_chemical_symbols()
    assert answer["free"] == pytest.approx(energy, abs=1e-6)
    assert answer["energy"] == pytest.approx(energy + 0.04, abs=1e-6)
    np.testing.assert_allclose(answer["forces"], forces, atol=1e-6)
    np.testing.assert_allclose(answer["stress"], stress, atol=1e-3)
    assert answer["run_type"] == "PBE"
    assert answer["corrections"] == 1
