"""Relaxation of a pool: folded ensemble in torch-sim against one structure at a time.

    python -m benchmarks.relaxation --quick --json FILE

The baseline is how the method's authors relax: one structure at a time in ASE, LBFGS with
a cell filter, SchNetPack's ASE neighbour list, and one forward and backward pass for each
member. Rates are structures × steps per second, where every evaluation of energy, forces and
stress counts as a step: the first one and one for each move. Both use the same five untrained
networks of the paper's size, the same kind of cell filter, one thread, the same allocator
settings and processor flags, and take ten steps. The folded side relaxes a pool of random
crystals, the baseline a few of them whose number of neighbours is nearest to the pool's mean.
The two optimizers part on the rugged surface of an untrained network, so the mean number of
neighbours of an atom over all evaluations is given for both. ``stock_rate`` is torch-sim over
SchNetPack's own batched evaluation, and ``peak_share`` the floating-point operations of folded
matrix products per second, in units of a large product's rate (for SO3net a quarter of them only
repeat components).
"""

from functools import partial
from typing import Any, ClassVar

import numpy as np
import schnetpack.properties as keys
import torch
from ase.calculators.calculator import Calculator, all_changes
from ase.filters import UnitCellFilter
from ase.optimize import LBFGS
from ase.stress import full_3x3_to_voigt_6_stress
from schnetpack.interfaces.ase_interface import AtomsConverter
from schnetpack.model import NeuralNetworkPotential
from schnetpack.transform import ASENeighborList
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.side_by_side import crystals, matmul_peak, networks, row, run, seconds
from pyrite.config import RelaxationConfig, Representation, SurrogateConfig
from pyrite.documents import Crystal
from pyrite.models.dataset import Inputs, crystal_inputs
from pyrite.models.ensemble import Ensemble, EnsembleOutput
from pyrite.models.relaxation import relax

POOL = 32
STEPS = 10
VOLUME = 20.0


class Counted(Ensemble):
    """Counts what it is given; neighbours in both directions."""

    edges = 0
    atoms = 0

    def evaluate(self, inputs: Inputs) -> EnsembleOutput:
        """As an ensemble does."""
        self.edges += 2 * len(inputs[keys.idx_i])
        self.atoms += len(inputs[keys.Z])
        return super().evaluate(inputs)


class OneAtATime(Calculator):
    """Members one after another, neighbours by ASE."""

    implemented_properties: ClassVar[list[str]] = ["energy", "forces", "stress"]

    def __init__(self, members: list[NeuralNetworkPotential], cutoff: float) -> None:
        super().__init__()
        self.members = members
        self.edges = self.atoms_seen = 0
        self.converter = AtomsConverter(ASENeighborList(cutoff=cutoff))

    def calculate(
        self,
        atoms: Any = None,
        properties: Any = ("energy",),
        system_changes: Any = all_changes,
    ) -> None:
        """Mean of the members."""
        super().calculate(atoms, properties, system_changes)
        inputs = self.converter(self.atoms)
        self.edges += len(inputs[keys.idx_i])
        self.atoms_seen += len(inputs[keys.Z])
        outputs = [member(dict(inputs)) for member in self.members]

        def mean(key: str) -> np.ndarray:
            return torch.stack([one[key].detach() for one in outputs]).mean(0).double().numpy()

        self.results = {
            "energy": float(mean(keys.energy)[0]),
            "forces": mean(keys.forces),
            "stress": full_3x3_to_voigt_6_stress(mean(keys.stress)[0]),
        }


def baseline(calculator: OneAtATime, start: Crystal, steps: int = STEPS) -> None:
    """A few steps of one structure."""
    atoms = start.to_atoms()
    atoms.calc = calculator
    LBFGS(UnitCellFilter(atoms), logfile=None).run(fmax=1e-9, steps=steps)


def like_the_pool(pool: list[Crystal], cutoff: float) -> list[Crystal]:
    """A pool by how near the number of neighbours comes to the pool's mean."""
    pairs = [len(crystal_inputs([one], cutoff)[keys.idx_i]) for one in pool]
    return [pool[k] for k in np.argsort(np.abs(np.array(pairs) - np.mean(pairs)), kind="stable")]


def in_torch_sim(ensemble: Ensemble, pool: list[Crystal], steps: int) -> None:
    """Relax a pool as a search does."""
    config = RelaxationConfig(
        fmax=1e-9,
        max_relative_uncertainty=1e9,
        patience=10**6,
        max_steps=steps,
        volume_per_atom_bounds=(1e-3, 1e3),
        minimum_distance=0.0,
    )
    taken = {one.steps for one in relax(pool, ensemble, config, VOLUME)}
    if taken != {steps}:
        raise RuntimeError(f"relaxations took {taken} steps in place of {steps}")


def peak_share(ensemble: Ensemble, pool: list[Crystal]) -> float:
    """Share of the matmul peak that an evaluation reaches."""
    inputs = crystal_inputs(pool[:16], ensemble.cutoff)
    counter = FlopCounterMode(display=False)
    with counter:
        ensemble.evaluate(inputs)
    fastest = min(seconds(lambda: ensemble.evaluate(inputs)) for _ in range(5))
    return float(counter.get_total_flops()) / fastest / matmul_peak()


def measure(system: str, config: SurrogateConfig, rounds: int) -> dict[str, Any]:
    """Rates of both, alternately."""
    pool = crystals(system, POOL, seed=1)
    members = networks(config)
    ensemble = Counted(members, config.cutoff)
    calculator = OneAtATime(members, config.cutoff)
    stock = Counted(members, config.cutoff, fold=False)
    typical = like_the_pool(pool, config.cutoff)
    few = typical[: 1 if config.representation is Representation.SO3NET else 4]
    in_torch_sim(ensemble, pool, 1)
    in_torch_sim(stock, few[:1], 1)
    baseline(calculator, few[0], 1)
    calculator.edges = calculator.atoms_seen = ensemble.edges = ensemble.atoms = stock.atoms = 0
    found = []
    for _ in range(rounds):
        slow_time = sum(seconds(partial(baseline, calculator, one)) for one in few)
        fast_time = seconds(lambda: in_torch_sim(ensemble, pool, STEPS))
        found.append((len(few) * (1 + STEPS) / slow_time, len(pool) * (1 + STEPS) / fast_time))
    stock_time = seconds(lambda: in_torch_sim(stock, typical[:8], 1))
    result = row(system, config.representation, config.cutoff, found)
    result["baseline_neighbors"] = round(calculator.edges / calculator.atoms_seen, 1)
    result["neighbors"] = round(ensemble.edges / ensemble.atoms, 1)
    result["stock_rate"] = round(stock.atoms / len(pool[0].numbers) / stock_time, 3)
    result["peak_share"] = round(peak_share(ensemble, pool), 3)
    return result


if __name__ == "__main__":
    run(__doc__ or "", measure)
