"""A pair potential as a reference that can be put out of order."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobflow import Maker, job

from benchmarks.sleeping_maker import Document, answered


@dataclass
class WeakMaker(Maker):
    """Every energy is NaN until the file ``gate`` exists; relaxations go nowhere."""

    name: str = "weak"
    gate: str = "gate"

    @job
    def make(self, structure: Any) -> Document:
        document = answered(structure)
        if not Path(self.gate).exists():
            document.output.energy = math.nan
        return document
