"""What ``pyrite export`` and ``pyrite report`` write; apart, so that ``pyrite --help`` loads no
science."""

from enum import StrEnum


class Format(StrEnum):
    """What ``pyrite export --format`` takes."""

    CIF = "cif"
    POSCAR = "poscar"
    EXTXYZ = "extxyz"
    CSV = "csv"


class ReportFormat(StrEnum):
    """What ``pyrite report --format`` takes."""

    HTML = "html"
    PDF = "pdf"
    PNG = "png"
