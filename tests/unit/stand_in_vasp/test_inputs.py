"""What the stand-in for VASP refuses."""

import pytest
from ase.build import bulk
from custodian.vasp import handlers
from pymatgen.io.ase import AseAtomsAdaptor
from pymatgen.io.vasp import Vasprun
from tests.stand_in_vasp import potcars
from tests.unit.stand_in_vasp.runs import QUIET, STATIC, crystal, run_here, said, write_inputs

pytestmark = QUIET


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"ENCUTT": 500}, "ENCUTT in INCAR is unknown to the stand-in; did you mean ENCUT?"),
        ({"PSTRESS": 100}, "PSTRESS in INCAR is unknown"),
        ({"LOPTICS": True}, "LOPTICS = .TRUE. asks for results"),
        ({"IBRION": 0, "NSW": 5}, "IBRION = 0 is not among those"),
        ({"NSW": 5}, "IBRION = 0 is not among those"),
        ({"ISIF": 4}, "ISIF = 4 is not among those"),
        ({"ALGO": "Exact"}, "ALGO = Exact is not among those"),
        ({"EDIFF": -1}, "EDIFF = -1.0 is not positive"),
        ({"NBANDS": 3}, "NBANDS = 3 is too small"),
        ({"KSPACING": 0}, "KSPACING = 0.0 is not positive"),
    ],
)
def test_incar_is_checked(vasp, change, words):
    assert words in said(vasp({**STATIC, **change}, code=1))


@pytest.mark.parametrize(
    ("line", "tag"),
    [
        ("ISPIN = two", "ISPIN"),
        ("ENCUT = 5OO", "ENCUT"),
        ("SIGMA = nan", "SIGMA"),
        ("LASPH = yes", "LASPH"),
        ("MAGMOM = 3*0.6", "MAGMOM"),
        ("LDAUU = 1 2 3", "LDAUU"),
    ],
)
def test_values_are_parsed(vasp, tmp_path, line, tag):
    folder = write_inputs(tmp_path / "run", crystal(), {"KSPACING": 0.5})
    (folder / "INCAR").write_text(f"KSPACING = 0.5\n{line}\n")
    assert run_here(folder) == 1
    assert f"Error reading item '{tag}' from file INCAR" in said(folder)
    handler = handlers.VaspErrorHandler()
    assert handler.check(str(folder))
    assert handler.errors == {"read_error"}


def test_incar_may_be_written_in_many_ways(tmp_path):
    folder = write_inputs(tmp_path / "run", crystal(), {})
    (folder / "INCAR").write_text(
        "kspacing = 0.5 ; NELM=12 ! enough\n# a comment = 3\nLREAL = Auto\nLWAVE = .FALSE.\n"
        "MAGMOM = 2*0.6 \\\n 2*1\nEDIFF = 1d-6\nLCHARG = f\n"
    )
    assert run_here(folder) == 0
    found = Vasprun(folder / "vasprun.xml").incar
    assert found["MAGMOM"] == [0.6, 0.6, 1, 1]
    assert (found["EDIFF"], found["NELM"], found["LWAVE"]) == (1e-6, 12, False)


@pytest.mark.parametrize("name", ["INCAR", "POSCAR", "POTCAR"])
def test_missing_files_are_refused(tmp_path, name):
    folder = write_inputs(tmp_path / "run", crystal(), STATIC)
    (folder / name).unlink()
    assert run_here(folder) == 1
    assert f"no {name} file" in said(folder)


def test_potcar_must_follow_poscar(tmp_path):
    folder = write_inputs(tmp_path / "run", crystal(), STATIC)
    (folder / "POTCAR").write_text(potcars.potcar("Au") + potcars.potcar("Cu"))
    assert run_here(folder) == 1
    assert "POTCAR (Au Cu) are not those of POSCAR (Cu Au)" in said(folder)


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (("direct", "Selective\ndirect"), "no selective dynamics"),
        (("2 2", "2 x"), "POSCAR does not parse"),
        (("Cu Au\n2", "2"), "POSCAR does not parse"),
        (("2 2", "2 3"), "POSCAR does not parse"),
    ],
)
def test_poscar_is_checked(tmp_path, edit, words):
    folder = write_inputs(tmp_path / "run", crystal(), STATIC)
    text = (folder / "POSCAR").read_text()
    assert edit[0] in text
    (folder / "POSCAR").write_text(text.replace(*edit))
    assert run_here(folder) == 1
    assert words in said(folder)


def test_there_must_be_kpoints(vasp):
    no_spacing = {tag: value for tag, value in STATIC.items() if tag != "KSPACING"}
    assert "neither a KPOINTS file nor KSPACING" in said(vasp(no_spacing, code=1))


def test_other_elements_are_refused(vasp):
    words = said(vasp(atoms=bulk("NaCl", "rocksalt", a=5.6), code=1))
    assert "no potential for Cl Na; it knows Ag Al Au C Cu H N Ni O Pd Pt" in words


@pytest.mark.parametrize("text", ["meltdown", "scf:twice", "scf:share=2", "scf:share", "scf once"])
def test_misspelt_failures_are_refused(vasp, text):
    assert f"STAND_IN_VASP_FAIL: {text!r} is not" in said(vasp(fail=text, code=1))


@pytest.mark.filterwarnings("ignore::pymatgen.io.vasp.sets.BadInputSetWarning")
def test_input_sets_use_only_known_tags():
    """Of pymatgen and atomate2, as far as they make static calculations and relaxations."""
    from atomate2.vasp.sets import core
    from pymatgen.io.vasp import sets
    from tests.stand_in_vasp.tags import KNOWN

    structure = AseAtomsAdaptor.get_structure(crystal())
    generators = [
        sets.MatPESStaticSet(),
        sets.MatPESStaticSet(xc_functional="R2SCAN", user_incar_settings={"GGA": None}),
        sets.MPRelaxSet(),
        sets.MPStaticSet(),
        sets.MPScanRelaxSet(),
        sets.MP24RelaxSet(),
        sets.MP24StaticSet(),
        core.RelaxSetGenerator(),
        core.TightRelaxSetGenerator(),
        core.StaticSetGenerator(),
    ]
    for generator in generators:
        generator.structure = structure
        assert set(generator.incar) <= KNOWN.keys(), type(generator)
