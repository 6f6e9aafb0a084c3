"""From what the user typed as a composition to the content of the cell."""

import math
import re
from collections.abc import Mapping

from ase.data import chemical_symbols
from pymatgen.core import Composition

from pyrite.config import DEFAULT_ATOMS_PER_CELL
from pyrite.errors import ConfigError

MAX_ATOMS = 500

_ELEMENTS = frozenset(chemical_symbols[1:104])
# pymatgen also takes charges, exponents, isotopes and dummies, none of which a cell can have.
_FORMULA = re.compile(r"(?:[A-Z][a-z]?|[0-9]+(?:\.[0-9]+)?|[()\[\]{} ])+")
_ZERO = re.compile(r"(?<![0-9.])0+(?:\.0*)?(?![0-9.])")
_MAX_LENGTH = 200
_REMEDY = "write element symbols with whole positive amounts, such as NaCl or Na4Cl4"


def cell_content(composition: str, formula_units: int | None = None) -> dict[str, int]:
    """Number of atoms of each element in the cell.

    A composition whose amounts have a common divisor (``Na4Cl4``, ``Si2``) is
    the content of the cell. One that is its own reduced formula (``NaCl``,
    ``Si``) is multiplied by the even number that brings the cell nearest to
    eight atoms, or stands alone if it has that many already.

    Parameters
    ----------
    composition : str
        A chemical formula; brackets are allowed.
    formula_units : int, optional
        Multiplies the formula as typed, whichever kind it is.

    Returns
    -------
    dict of str to int
        Element symbol to atoms per cell, in the order typed.

    Raises
    ------
    ConfigError
        Not a formula of known elements with whole positive amounts, or more
        than 500 atoms.
    """
    amounts = _parse(composition)
    atoms = sum(amounts.values())
    if formula_units is None:
        is_reduced = math.gcd(*amounts.values()) == 1
        formula_units = _default_units(atoms) if is_reduced else 1
    if formula_units < 1:
        raise ConfigError(f"formula_units is {formula_units}: give a whole number from 1 up")
    if atoms * formula_units > MAX_ATOMS:
        raise ConfigError(
            f"composition {_shown(composition)} with {formula_units} formula unit(s) makes a cell "
            f"of more than {MAX_ATOMS} atoms: write a smaller cell or lower formula_units"
        )
    return {element: amount * formula_units for element, amount in amounts.items()}


def formula(content: Mapping[str, int]) -> str:
    """The content of a cell as text, such as ``Na4Cl4``; every amount is written."""
    return "".join(f"{element}{amount}" for element, amount in content.items())


def _default_units(atoms: int) -> int:
    if atoms >= DEFAULT_ATOMS_PER_CELL:
        return 1
    even = range(2, DEFAULT_ATOMS_PER_CELL + 1, 2)
    return min(even, key=lambda units: abs(units * atoms - DEFAULT_ATOMS_PER_CELL))


def _parse(composition: str) -> dict[str, int]:
    text = composition.strip()
    shown = _shown(composition)
    if not text:
        raise ConfigError(f"composition is empty: {_REMEDY}")
    if len(text) > _MAX_LENGTH:
        raise ConfigError(f"composition {shown} is longer than {_MAX_LENGTH} characters: {_REMEDY}")
    for symbol in re.findall(r"[A-Z][a-z]*", text):
        if symbol not in _ELEMENTS:
            raise ConfigError(f"composition {shown} has no known element {symbol!r}: {_REMEDY}")
    if re.search(r"-\s*[0-9]", text):
        raise ConfigError(f"composition {shown} has a negative amount: {_REMEDY}")
    if not _FORMULA.fullmatch(text):
        raise ConfigError(f"composition {shown} is not a plain chemical formula: {_REMEDY}")
    if _ZERO.search(text):
        raise ConfigError(f"composition {shown} has an amount of zero: {_REMEDY}")
    try:
        parsed = Composition(text, strict=True)
    except ValueError as error:
        raise ConfigError(f"composition {shown} is not a chemical formula: {_REMEDY}") from error
    amounts = {str(element): float(amount) for element, amount in parsed.items()}
    if not amounts or not all(amount.is_integer() for amount in amounts.values()):
        raise ConfigError(f"composition {shown} has fractional amounts: {_REMEDY}")
    return {element: int(amount) for element, amount in amounts.items()}


def _shown(composition: str) -> str:
    return repr(composition if len(composition) <= 60 else composition[:57] + "...")
