"""What users may type as a composition, and what they may not."""

import pytest

from pyrite.errors import ConfigError
from pyrite.models.composition import cell_content, formula


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("Si", "Si8"),
        ("NaCl", "Na4Cl4"),
        ("GaAs", "Ga4As4"),
        ("MgO", "Mg4O4"),
        ("TiO2", "Ti2O4"),
        ("Al2O3", "Al4O6"),
        ("SrTiO3", "Sr2Ti2O6"),
        ("Fe3C", "Fe6C2"),
        ("LiFePO4", "Li2Fe2P2O8"),
        ("Mg2SiO5", "Mg2Si1O5"),
        ("YBa2Cu3O7", "Y1Ba2Cu3O7"),
        ("Ca(OH)2", "Ca2O4H4"),
    ],
)
def test_a_formula_gets_about_eight_atoms(typed, expected):
    assert formula(cell_content(typed)) == expected


@pytest.mark.parametrize("typed", ["Na4Cl4", "Si2", "Si46", "Al4O6", "Al16O24", "Cl4Na4", "O2"])
def test_the_content_of_a_cell_stays(typed):
    assert formula(cell_content(typed)) == typed


def test_reduction_is_by_amounts_not_by_spelling():
    assert cell_content("ClNa") == cell_content("NaCl") == {"Na": 4, "Cl": 4}
    assert cell_content("NaClNaCl") == {"Na": 2, "Cl": 2}
    assert cell_content("O3Al2") == {"O": 6, "Al": 4}
    assert cell_content("(NaCl)4") == {"Na": 4, "Cl": 4}


def test_elements_keep_the_order_typed():
    assert list(cell_content("ClNa")) == ["Cl", "Na"]
    assert list(cell_content("SrTiO3")) == ["Sr", "Ti", "O"]


@pytest.mark.parametrize(
    ("typed", "units", "expected"),
    [("NaCl", 1, "Na1Cl1"), ("NaCl", 3, "Na3Cl3"), ("Na4Cl4", 2, "Na8Cl8"), ("Si", 16, "Si16")],
)
def test_formula_units_multiply_what_was_typed(typed, units, expected):
    assert formula(cell_content(typed, units)) == expected


@pytest.mark.parametrize(
    ("typed", "reason"),
    [
        ("NaXx", "no known element 'Xx'"),
        ("X", "no known element 'X'"),
        ("D2O", "no known element 'D'"),
        ("Hello", "no known element 'Hello'"),
        ("Rf", "no known element 'Rf'"),
        ("Na+", "not a plain chemical formula"),
        ("Fe2+O", "not a plain chemical formula"),
        ("nacl", "not a plain chemical formula"),
        ("Na1e2", "not a plain chemical formula"),
        ("Na4Cl4*", "not a plain chemical formula"),
        ("NaCl·H2O", "not a plain chemical formula"),
        ("Na-Cl", "not a plain chemical formula"),
        ("Na.Cl", "not a plain chemical formula"),
        ("2NaCl", "not a chemical formula"),
        ("Na4()Cl4", "not a chemical formula"),
        ("Na4(Cl4", "not a chemical formula"),
        ("Na4)Cl4", "not a chemical formula"),
        ("4", "not a chemical formula"),
        ("Na-1Cl", "negative amount"),
        ("Na0Cl4", "amount of zero"),
        ("Na0.0Cl", "amount of zero"),
        ("(NaCl)0", "amount of zero"),
        ("Na0.5Cl", "fractional amounts"),
        ("NaCl" * 60, "longer than 200 characters"),
        ("Si501", "more than 500 atoms"),
        ("Si" + "9" * 150, "more than 500 atoms"),
    ],
)
def test_everything_else_is_refused_with_a_remedy(typed, reason):
    with pytest.raises(ConfigError) as caught:
        cell_content(typed)
    message = str(caught.value)
    assert reason in message
    assert repr(typed[:50])[:-1] in message
    assert "write " in message
    assert len(message) < 250


@pytest.mark.parametrize("typed", ["", "  "])
def test_an_empty_composition_is_refused(typed):
    with pytest.raises(ConfigError, match="composition is empty: write element symbols"):
        cell_content(typed)


def test_formula_units_may_not_make_the_cell_too_large():
    assert sum(cell_content("NaCl", 250).values()) == 500
    with pytest.raises(ConfigError, match=r"'NaCl' with 251 formula.* more than 500 atoms"):
        cell_content("NaCl", 251)


@pytest.mark.parametrize("units", [0, -1])
def test_formula_units_are_positive(units):
    with pytest.raises(ConfigError, match=f"formula_units is {units}: give"):
        cell_content("NaCl", units)
