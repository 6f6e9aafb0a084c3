"""Dummy POTCARs, without any data of VASP, for pymatgen and the stand-in.

    python tests/stand_in_vasp/potcars.py DIR Cu Au

fills DIR so that PMG_VASP_PSP_DIR=DIR serves every PBE functional that pymatgen
knows. pymatgen reads that variable when it is imported, and warns that it does
not know such POTCARs (UnknownPotcarWarning).
"""

import sys
from collections.abc import Collection
from pathlib import Path

FOLDERS = (
    "POT_GGA_PAW_PBE",
    "POT_GGA_PAW_PBE_52",
    "POT_GGA_PAW_PBE_54",
    "POT_PAW_PBE_64",
    "POTPAW_PBE_52",
    "POTPAW_PBE_54",
)
"""Where pymatgen looks for PBE, PBE_52, PBE_54, PBE_64, PBE_52_W_HASH and PBE_54_W_HASH."""

VARIANTS = ("", "_pv", "_sv", "_d", "_s", "_h", "_2", "_3")
"""Which of them an input set takes differs; all are written."""

# Standard atomic weight (u) and valence electrons.
_ELEMENTS = {
    "H": (1.008, 1),
    "C": (12.011, 4),
    "N": (14.007, 5),
    "O": (15.999, 6),
    "Al": (26.982, 3),
    "Ni": (58.693, 10),
    "Cu": (63.546, 11),
    "Pd": (106.42, 10),
    "Ag": (107.868, 11),
    "Pt": (195.084, 10),
    "Au": (196.967, 11),
}
_UNKNOWN = (1.0, 4)

_TEMPLATE = """\
  PAW_PBE {symbol} 01Jan2000
   {valence:.14f}
 parameters from PSCTR are:
   VRHFIN ={element}: a dummy for tests
   LEXCH  = PE
   EATOM  =   100.0000 eV,    7.3499 Ry

   TITEL  = PAW_PBE {symbol} 01Jan2000
   LULTRA =        F    use ultrasoft PP ?
   IUNSCR =        1    unscreen: 0-lin 1-nonlin 2-no
   RPACOR =    0.000    partial core radius
   POMASS = {mass:8.3f}; ZVAL   = {valence:8.3f}    mass and valenz
   RCORE  =    2.000    outmost cutoff radius
   RWIGS  =    2.000; RWIGS  =    1.058    wigner-seitz radius (au A)
   ENMAX  =  300.000; ENMIN  =  200.000 eV
   LCOR   =        T    correct aug charges
   LPAW   =        T    paw PP
 END of PSCTR-controll parameters
 local part
   0.0 1.0 2.0
 End of Dataset
"""


def potcar(symbol: str) -> str:
    """The text of one dummy, such as for Cu or Cu_pv."""
    element = symbol.partition("_")[0]
    mass, valence = _ELEMENTS.get(element, _UNKNOWN)
    return _TEMPLATE.format(symbol=symbol, element=element, mass=mass, valence=valence)


def write_potcars(directory: Path, elements: Collection[str]) -> None:
    """Fill ``directory`` with dummies for ``elements``, in every variant."""
    for folder in FOLDERS:
        (directory / folder).mkdir(parents=True, exist_ok=True)
        for element in elements:
            for variant in VARIANTS:
                symbol = element + variant
                path = directory / folder / f"POTCAR.{symbol}"
                path.write_text(potcar(symbol), encoding="utf-8")


if __name__ == "__main__":
    write_potcars(Path(sys.argv[1]), sys.argv[2:])
