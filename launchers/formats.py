"""What ``pyrite export`` writes; apart, so that ``pyrite --help`` loads no science."""

from enum import StrEnum


class Format(StrEnum):
    """What ``pyrite export --format`` takes."""

    CIF = "cif"
    POSCAR = "poscar"
    EXTXYZ = "extxyz"
    CSV = "csv"
