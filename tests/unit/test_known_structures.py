from pathlib import Path

import pytest

from pyrite.config import SearchConfig
from pyrite.documents import Crystal
from pyrite.errors import ConfigError
from pyrite.models.known_structures import KNOWN_STRUCTURES, known_structure, sought
from pyrite.models.ranking import space_group

SPACE_GROUPS = {
    "si-diamond": (227, 8),
    "si-beta-tin": (141, 4),
    "si-lonsdaleite": (194, 4),
    "si-clathrate-i": (223, 46),
    "nacl-rocksalt": (225, 8),
    "nacl-caesium-chloride": (221, 2),
    "nacl-zincblende": (216, 8),
    "mgo-rocksalt": (225, 8),
    "gaas-zincblende": (216, 8),
    "gaas-wurtzite": (186, 4),
    "al2o3-corundum": (167, 30),
    "al2o3-theta": (12, 20),
    "al2o3-bixbyite": (206, 80),
    "sic-zincblende": (216, 8),
    "tio2-rutile": (136, 6),
    "tio2-anatase": (141, 12),
    "zns-zincblende": (216, 8),
}
# Å, nearest neighbours of the first atom, as measured or as their source has them.
BONDS = {
    "si-diamond": 2.35,
    "si-beta-tin": 2.43,
    "si-lonsdaleite": 2.34,
    "si-clathrate-i": 2.38,
    "nacl-rocksalt": 2.82,
    "nacl-caesium-chloride": 2.90,
    "nacl-zincblende": 2.82,
    "mgo-rocksalt": 2.11,
    "gaas-zincblende": 2.45,
    "gaas-wurtzite": 2.45,
    "al2o3-corundum": 1.85,
    "al2o3-theta": 1.76,
    "al2o3-bixbyite": 1.95,
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


def test_theta_alumina_has_aluminium_in_tetrahedra_and_octahedra():
    structure = known_structure("al2o3-theta")
    around = {
        len([n for n in structure.get_neighbors(site, 2.3) if n.specie.symbol == "O"])
        for site in structure
        if site.specie.symbol == "Al"
    }
    assert around == {4, 6}


def test_every_structure_is_tested():
    assert set(SPACE_GROUPS) == set(KNOWN_STRUCTURES)


def test_the_docs_list_all():
    page = (Path(__file__).parents[2] / "docs" / "search-file.md").read_text(encoding="utf-8")
    assert {name for name in KNOWN_STRUCTURES if name not in page} == set()


def test_unknown_name_lists_the_known():
    with pytest.raises(ConfigError, match="si-diamond"):
        known_structure("si-graphite")


def test_what_a_search_looks_for_is_of_its_compound():
    assert sought(SearchConfig(composition="Si4")) is None
    assert sought(SearchConfig(composition="Si4", target="si-diamond")).numbers == (14, 14)
    assert sought(SearchConfig(composition="Al4O6", target="al2o3-theta")).numbers.count(8) == 6
    with pytest.raises(ConfigError, match=r"target\.structure: 'si-diamond' is Si, .* for NaCl"):
        sought(SearchConfig(composition="NaCl", target="si-diamond"))
    with pytest.raises(ConfigError, match=r"mean si-diamond\?"):
        sought(SearchConfig(composition="Si4", target="si-diamont"))
