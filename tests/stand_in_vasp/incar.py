"""INCAR: reading it, refusing what is not in it by right, and its settings."""

import difflib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.stand_in_vasp.refusal import ItemError, Refusal
from tests.stand_in_vasp.tags import KNOWN, ONLY_FALSE, Kind

type Value = bool | int | float | str | list[int] | list[float]

_ALGORITHMS = {"n": "normal", "v": "veryfast", "f": "fast", "a": "all", "c": "all", "d": "damped"}
_LOGICAL = re.compile(r"\.?([tf])", re.IGNORECASE)
_COMMENT = re.compile(r"[#!].*")


@dataclass(frozen=True)
class Settings:
    """What the stand-in goes by, with VASP's defaults.

    Energies in eV, ``ediffg`` in eV (positive) or eV/Å (negative), ``kspacing`` in 1/Å;
    ``algo`` is in lower case and spelled out.
    """

    algo: str
    amix: float
    ediff: float
    ediffg: float
    ibrion: int
    isif: int
    ismear: int
    ispin: int
    kgamma: bool
    kspacing: float | None
    lorbit: int
    nelm: int
    nelmin: int
    nsw: int
    sigma: float

    @property
    def relaxes(self) -> bool:
        """Whether ions move."""
        return self.nsw > 1


def read_incar(path: Path) -> dict[str, Value]:
    """Tags in upper case, with typed values.

    Raises
    ------
    Refusal
        When it is missing, or has a tag that the stand-in does not know.
    ItemError
        When a value does not parse.
    """
    if not path.is_file():
        raise Refusal("no INCAR file")
    found: dict[str, Value] = {}
    for tag, text in _assignments(path.read_text(encoding="utf-8")):
        kind = KNOWN.get(tag)
        if kind is None:
            near = difflib.get_close_matches(tag, KNOWN, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise Refusal(f"the tag {tag} in INCAR is unknown to the stand-in{hint}")
        if tag in found:
            raise Refusal(f"the tag {tag} stands in INCAR twice")
        try:
            found[tag] = _parse(kind, text)
        except (IndexError, ValueError) as error:
            raise ItemError(tag, f"{tag} = {text} in INCAR is not of the kind {kind}") from error
    for tag in sorted(ONLY_FALSE & found.keys()):
        if found[tag]:
            raise Refusal(f"{tag} = .TRUE. asks for results that the stand-in does not have")
    return found


def settings_of(incar: Mapping[str, Value]) -> Settings:
    """Complete ``incar`` with defaults, and refuse what the stand-in cannot run.

    Raises
    ------
    Refusal
        For values that VASP has no use for, or the stand-in no method.
    """

    def integer(tag: str, default: int) -> int:
        return int(incar.get(tag, default))  # type: ignore[arg-type]

    def real(tag: str, default: float) -> float:
        return float(incar.get(tag, default))  # type: ignore[arg-type]

    ediff = real("EDIFF", 1e-4)
    nsw = integer("NSW", 0)
    settings = Settings(
        algo=_algorithm(str(incar.get("ALGO", "Normal"))),
        amix=real("AMIX", 0.4),
        ediff=ediff,
        ediffg=real("EDIFFG", 10 * ediff),
        ibrion=integer("IBRION", 0 if nsw > 0 else -1),
        isif=integer("ISIF", 2),
        ismear=integer("ISMEAR", 1),
        ispin=integer("ISPIN", 1),
        kgamma=bool(incar.get("KGAMMA", True)),
        kspacing=real("KSPACING", 0.0) if "KSPACING" in incar else None,
        lorbit=integer("LORBIT", 0),
        nelm=integer("NELM", 60),
        nelmin=integer("NELMIN", 2),
        nsw=nsw,
        sigma=real("SIGMA", 0.2),
    )
    allowed: dict[str, tuple[int, ...]] = {"ISIF": (2, 3), "ISPIN": (1, 2)}
    if settings.relaxes:
        allowed["IBRION"] = (1, 2, 3)
    for tag, choices in allowed.items():
        value = getattr(settings, tag.lower())
        if value not in choices:
            raise Refusal(f"{tag} = {value} is not among those of the stand-in: {choices}")
    for tag in ("EDIFF", "ENCUT", "NELM", "SIGMA", "POTIM", "NBANDS"):
        if real(tag, 1.0) <= 0:
            raise Refusal(f"{tag} = {incar[tag]} is not positive")
    return settings


def check_lengths(incar: Mapping[str, Value], ions: int, species: int) -> None:
    """Refuse lists that have not one entry for each ion, or each species of POSCAR.

    Raises
    ------
    ItemError
        Naming the tag.
    """
    wanted = {"MAGMOM": ions, "LDAUL": species, "LDAUU": species, "LDAUJ": species}
    for tag, count in wanted.items():
        value = incar.get(tag)
        if isinstance(value, list) and len(value) != count:
            raise ItemError(tag, f"{tag} has {len(value)} entries, but POSCAR needs {count}")


def _assignments(text: str) -> list[tuple[str, str]]:
    """The pairs of tag and value in the text of an INCAR."""
    plain = "\n".join(_COMMENT.sub("", line).rstrip() for line in text.splitlines())
    statements = re.split(r"[;\n]", plain.replace("\\\n", " "))
    pairs = []
    for statement in statements:
        tag, equals, value = statement.partition("=")
        if equals and tag.strip() and value.strip():
            pairs.append((tag.strip().upper(), value.strip()))
        elif statement.strip():
            raise Refusal(f"INCAR has the line {statement.strip()!r}, which sets no tag")
    return pairs


def _algorithm(value: str) -> str:
    name = value.strip().lower()
    if name in ("exact", "eigenval", "none", "nothing") or not name:
        raise Refusal(f"ALGO = {value} is not among those of the stand-in")
    try:
        return _ALGORITHMS[name[0]]
    except KeyError:
        raise Refusal(f"ALGO = {value} is not among those of the stand-in") from None


def _parse(kind: Kind, text: str) -> Value:
    match kind:
        case Kind.INTEGER:
            return int(text)
        case Kind.REAL:
            return _real(text)
        case Kind.LOGICAL:
            return _logical(text)
        case Kind.LOGICAL_OR_STRING:
            return text if text[0].lower() in "ao" else _logical(text)  # Auto, On
        case Kind.STRING:
            return text.strip('"')
        case Kind.INTEGERS:
            return [int(item) for item in _spread(text)]
        case Kind.REALS:
            return [_real(item) for item in _spread(text)]


def _real(text: str) -> float:
    value = float(text.lower().replace("d", "e"))
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def _logical(text: str) -> bool:
    found = _LOGICAL.match(text)
    if found is None:
        raise ValueError(text)
    return found[1].lower() == "t"


def _spread(text: str) -> list[str]:
    """The items of a list, with ``3*0.5`` written out."""
    items: list[str] = []
    for word in text.split():
        *counts, item = word.split("*")
        items.extend([item] * math.prod(int(count) for count in counts))
    return items
