"""Makers that are no reference at all: they stand in for the ones that users name."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobflow import Flow, Maker, job
from pydantic import BaseModel

KBAR_PER_EV_A3 = 1602.1766208


class Output(BaseModel):
    energy: Any
    forces: Any
    stress: Any
    n_steps: int


class Document(BaseModel):
    structure: Any
    state: str
    output: Output


def document(structure, **changes):
    """A task document in atomate2's shape: every atom feels its own atomic number."""
    output = {
        "energy": -1.5 * len(structure),
        "forces": [[float(site.specie.Z), 0.0, 0.0] for site in structure],
        "stress": [[-KBAR_PER_EV_A3, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]],
        "n_steps": 1,
    } | changes
    return Document(structure=structure, state="successful", output=Output(**output))


@dataclass
class SortingMaker(Maker):
    """Groups atoms by element, as VASP's input sets do."""

    name: str = "sorting"

    @job
    def make(self, structure):
        return document(structure.get_sorted_structure())


@dataclass
class FlowMaker(Maker):
    """Two jobs; the second one's output is the flow's. Each leaves a file."""

    name: str = "flow"

    def make(self, structure):
        first, second = self.leave("first", structure), self.leave("second", structure)
        return Flow([first, second], output=second.output)

    @job
    def leave(self, name, structure):
        Path(name).write_text(name)
        return document(structure, energy={"first": 1.0, "second": 2.0}[name])


@dataclass
class BrokenMaker(Maker):
    """Goes wrong in the way that ``fault`` names."""

    name: str = "broken"
    fault: str = "nan energy"

    @job
    def make(self, structure):
        print("talkative")  # noqa: T201
        atoms = len(structure)
        match self.fault:
            case "nan energy":
                return document(structure, energy=math.nan)
            case "infinite force":
                return document(structure, forces=[[math.inf, 0.0, 0.0]] * atoms)
            case "missing energy":
                return document(structure, energy=None)
            case "missing stress":
                return document(structure, stress=None)
            case "too few forces":
                return document(structure, forces=[[0.0, 0.0, 0.0]] * (atoms - 1))
            case "other atoms":
                return document(structure.replace_species({"Cl": "Br"}))
            case "moved atoms":
                return document(structure.translate_sites([1], [0.1, 0.0, 0.0]))
            case "no document":
                return None
            case "unconverged":
                return document(structure).model_copy(update={"state": "unconverged"})
        raise RuntimeError("the scratch disk is full\nand more")


class NotAMaker:
    """Has the right method, and is still none."""

    def make(self, structure):
        return document(structure)
