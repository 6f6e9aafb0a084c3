import pytest

from pyrite.documents import Crystal
from pyrite.errors import ConfigError
from pyrite.models.known_structures import KNOWN_STRUCTURES, known_structure
from pyrite.models.ranking import space_group

SPACE_GROUPS = {
    "si-diamond": (227, 8),
    "nacl-rocksalt": (225, 8),
    "mgo-rocksalt": (225, 8),
    "gaas-zincblende": (216, 8),
    "al2o3-corundum": (167, 30),
    "sic-zincblende": (216, 8),
    "tio2-rutile": (136, 6),
    "tio2-anatase": (141, 12),
    "zns-zincblende": (216, 8),
}
# Å, nearest neighbours as measured.
BONDS = {
    "si-diamond": 2.35,
    "nacl-rocksalt": 2.82,
    "mgo-rocksalt": 2.11,
    "gaas-zincblende": 2.45,
    "al2o3-corundum": 1.85,
    "sic-zincblende": 1.89,
    "tio2-rutile": 1.95,
    "tio2-anatase": 1.93,
    "zns-zincblende": 2.34,
}


# spglib 2 announces that version 3 raises where it now returns None
@pytest.mark.filterwarnings("ignore:Set OLD_ERROR_HANDLING:DeprecationWarning")
@pytest.mark.parametrize("name", SPACE_GROUPS)
def test_structure_has_its_published_symmetry_and_bonds(name):
    structure = known_structure(name)
    group, atoms = SPACE_GROUPS[name]
    assert space_group(Crystal.from_structure(structure), symprec=1e-3)[1] == group
    assert len(structure) == atoms
    distances = [n.nn_distance for n in structure.get_all_neighbors(3.0)[0]]
    assert min(distances) == pytest.approx(BONDS[name], abs=0.015)


def test_every_structure_is_tested():
    assert set(SPACE_GROUPS) == set(KNOWN_STRUCTURES)


def test_unknown_name_lists_the_known():
    with pytest.raises(ConfigError, match="si-diamond"):
        known_structure("si-graphite")
