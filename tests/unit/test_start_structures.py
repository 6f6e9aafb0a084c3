"""Crystals from files: three formats, and everything that is no crystal of the search."""

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.io import write
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Structure

from pyrite.config import SearchConfig
from pyrite.documents import Crystal, Origin, Role
from pyrite.errors import ConfigError
from pyrite.models.generation import generate_pool, read_structures
from pyrite.pool_config import TargetConfig


def search(composition: str = "NaCl", *, seed: int = 1, **pool: object) -> SearchConfig:
    return SearchConfig.model_validate({"composition": composition, "seed": seed, "pool": pool})


@pytest.fixture
def rocksalt() -> Atoms:
    return bulk("NaCl", "rocksalt", a=5.64, cubic=True)


@pytest.mark.parametrize(
    "name", ["a.cif", "POSCAR", "POSCAR_start", "CONTCAR", "a.vasp", "a.extxyz", "a.xyz"]
)
def test_files_are_read_and_come_on_top(name, rocksalt, tmp_path):
    path = tmp_path / name
    if name.endswith(".cif"):
        write(path, rocksalt, format="cif")
    elif name.endswith("xyz"):
        write(path, rocksalt, format="extxyz")
    else:
        write(path, rocksalt, format="vasp")
    pool = generate_pool(search("NaCl", size=2), read_structures([path]))
    assert [one.candidate_id for one in pool] == ["c00000", "c00001", "c00002"]
    assert pool[-1].origin is Origin.FILE
    assert pool[-1].crystal.numbers == (11,) * 4 + (17,) * 4
    expected = Crystal.from_atoms(rocksalt).to_structure()
    assert StructureMatcher(scale=False).fit(pool[-1].crystal.to_structure(), expected)


def test_all_frames_and_all_files_are_read_in_order(rocksalt, tmp_path):
    frames = [rocksalt.copy() for _ in range(3)]
    for factor, frame in zip((1.0, 1.1, 1.2), frames, strict=True):
        frame.set_cell(frame.cell * factor, scale_atoms=True)
    write(tmp_path / "many.extxyz", frames[:2])
    write(tmp_path / "one.cif", frames[2])
    crystals = read_structures([tmp_path / "many.extxyz", tmp_path / "one.cif"])
    lengths = [crystal.cell[0][0] for crystal in crystals]
    assert lengths == pytest.approx([5.64, 5.64 * 1.1, 5.64 * 1.2])


def test_target_structures_become_target_candidates():
    config = SearchConfig.model_validate(
        {
            "composition": "Si2",
            "pool": {"size": 2},
            "target": {"composition": "Si8", "pool": {"size": 2}},
        }
    )
    small = Crystal.from_atoms(bulk("Si"))
    large = Crystal.from_atoms(bulk("Si", cubic=True))
    pool = generate_pool(config, [small], [large])
    files = [(one.candidate_id, one.role) for one in pool if one.origin is Origin.FILE]
    assert files == [("c00002", Role.TRAIN), ("t00002", Role.TARGET)]


def test_start_structures_of_another_content_are_refused(rocksalt):
    primitive = Crystal.from_atoms(bulk("NaCl", "rocksalt", a=5.64))
    with pytest.raises(ConfigError, match=r"^a structure of pool\.files holds Na1Cl1 but"):
        generate_pool(search("NaCl", size=2), [Crystal.from_atoms(rocksalt), primitive])
    larger = {"composition": "Na8Cl8", "pool": {"size": 2}}
    config = search("NaCl", size=2).model_copy(update={"target": TargetConfig(**larger)})
    with pytest.raises(ConfigError, match=r"^a structure of target\.pool\.files holds Na1Cl1 but"):
        generate_pool(config, [], [primitive])


def test_files_of_larger_cells_that_are_missing_are_named_with_their_section():
    with pytest.raises(ConfigError, match=r"^target\.pool\.files names a\.cif"):
        read_structures(["a.cif"], "target.pool")


def disordered_cif(path: Path) -> None:
    lattice = np.eye(3) * 4
    Structure(lattice, [{"Na": 0.5, "K": 0.5}], [[0, 0, 0]]).to(str(path), fmt="cif")


def without_symbols(path: Path) -> None:
    path.write_text("x\n1.0\n4 0 0\n0 4 0\n0 0 4\n1 1\nDirect\n0 0 0\n0.5 0.5 0.5\n")


def molecule(path: Path) -> None:
    write(path, Atoms("H2", [[0, 0, 0], [0, 0, 0.74]]), format="extxyz")


def slab(path: Path) -> None:
    write(path, Atoms("Si", cell=[3, 3, 9], pbc=(True, True, False)), format="extxyz")


def overlapping(path: Path) -> None:
    write(path, Atoms("Si2", [[0, 0, 0.1], [0, 0, 3.9]], cell=[4, 4, 4], pbc=True), format="vasp")


def binary(path: Path) -> None:
    path.write_bytes(bytes(range(256)) * 4)


def truncated(path: Path) -> None:
    path.write_text("x\n1.0\n4 0 0\n0 4 0\n")


def not_a_number(path: Path) -> None:
    lattice = 'Lattice="4 0 0 0 4 0 0 0 4" Properties=species:S:1:pos:R:3 pbc="T T T"'
    path.write_text(f"1\n{lattice}\nSi nan 0 0\n")


@pytest.mark.parametrize(
    ("name", "make", "reason"),
    [
        ("a.cif", None, "is no file: correct the path"),
        ("a.cif", Path.mkdir, "is no file: correct the path"),
        ("a.txt", Path.touch, "no known format: name it as CIF"),
        ("a.cif", Path.touch, "cannot be read|holds no structure"),
        ("POSCAR", Path.touch, "cannot be read|holds no structure"),
        ("a.extxyz", Path.touch, "cannot be read|holds no structure"),
        ("a.cif", binary, "cannot be read"),
        ("POSCAR", binary, "cannot be read"),
        ("a.extxyz", binary, "cannot be read"),
        ("POSCAR", truncated, "cannot be read"),
        ("POSCAR", without_symbols, "cannot be read"),
        ("POSCAR", overlapping, "closer than 0.5 Å: remove"),
        ("a.cif", disordered_cif, "disordered structure: give an ordered one"),
        ("a.xyz", molecule, "not periodic in three directions"),
        ("a.extxyz", slab, "not periodic in three directions"),
        ("a.extxyz", not_a_number, "without a finite cell: correct it"),
    ],
)
def test_bad_files_are_refused_by_name(name, make, reason, tmp_path):
    path = tmp_path / name
    if make is not None:
        make(path)
    with pytest.raises(ConfigError, match=reason) as caught:
        read_structures([path])
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
