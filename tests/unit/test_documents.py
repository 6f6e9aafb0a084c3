import numpy as np
import pytest
from pydantic import ValidationError
from tests.unit.builders import random_crystal

from pyrite.config import SearchConfig
from pyrite.documents import Crystal, Record
from pyrite.errors import StoreError
from pyrite.models.dataset import crystal_inputs
from pyrite.models.engines import make_engine
from pyrite.mongo import KINDS, from_mongo
from pyrite.reference_config import ReferenceConfig


def rows_swapped(crystal: Crystal) -> dict[str, object]:
    a, b, c = crystal.cell
    return {"numbers": crystal.numbers, "positions": crystal.positions, "cell": (b, a, c)}


def test_left_handed_cells_become_right_handed_without_moving_an_atom():
    crystal = random_crystal(1)
    mirrored = Crystal(**rows_swapped(crystal))
    assert np.linalg.det(mirrored.cell) > 0
    assert mirrored.positions == crystal.positions
    both = [one.to_structure() for one in (crystal, mirrored)]
    assert sorted(both[0].lattice.abc) == pytest.approx(sorted(both[1].lattice.abc))
    distances = [np.sort(one.distance_matrix, axis=None) for one in both]
    assert np.allclose(*distances)


def test_the_order_of_the_cell_rows_does_not_turn_the_sign_of_the_stress(ensemble, tmp_path):
    crystal = random_crystal(2)
    mirrored = Crystal(**rows_swapped(crystal))
    stress, other = (
        ensemble.evaluate(crystal_inputs([one], ensemble.cutoff)).stress.numpy()
        for one in (crystal, mirrored)
    )
    assert np.allclose(stress, other, atol=1e-5)
    engine = make_engine(ReferenceConfig(), tmp_path)
    labels = [engine.static(one).stress for one in (crystal, mirrored)]
    assert np.allclose(*labels, atol=1e-5)


def test_conversions_keep_the_crystal():
    crystal = random_crystal(3)
    assert Crystal.from_atoms(crystal.to_atoms()) == crystal
    again = Crystal.from_structure(crystal.to_structure())
    assert again.numbers == crystal.numbers
    assert np.allclose(again.positions, crystal.positions, atol=1e-10)


@pytest.mark.parametrize("name", ["../x", "/etc/x", "..", "a/b", "a\x00b", "a\n", "", ".x", "-rf"])
def test_no_record_s_search_leads_out_of_a_directory(name: str) -> None:
    """Files are named after searches, and whoever writes to the database names those."""
    for kind in KINDS:
        with pytest.raises(StoreError, match=r"cannot be read .*\(search_id\)"):
            from_mongo(kind, {"search_id": name})
    with pytest.raises(ValidationError, match="name"):
        SearchConfig(composition="NaCl", name=name)
    assert Record(search_id="Na8Cl8-seed1.b_2").search_id == "Na8Cl8-seed1.b_2"
