"""Relaxation of a pool: folded ensemble in torch-sim against one structure at a time.

    python -m benchmarks.relaxation --quick --json FILE

The baseline is how the method's authors relax: one structure at a time in ASE, LBFGS with
a cell filter, SchNetPack's ASE neighbour list, and one forward and backward pass for each
member. Rates are structures × steps per second, where every evaluation of energy, forces and
stress that a relaxation needs counts as a step: the first one and one for each move. Both use the
same five untrained networks of the paper's size, one thread, and the same allocator settings
and processor flags, and both take ten steps from the same random crystals. Their optimizers
part on the rugged surface of an untrained network, so the mean number of neighbours that an
evaluation meets is given for both. ``stock`` is torch-sim over SchNetPack's own batched
evaluation, and ``peak_share`` the floating-point operations of folded matrix products per
second, in units of a large product's rate.
"""

from functools import partial
from typing import Any, ClassVar

import numpy as np
import schnetpack.properties as keys
import torch
from ase.calculators.calculator import Calculator, all_changes
from ase.filters import FrechetCellFilter
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
    LBFGS(FrechetCellFilter(atoms), logfile=None).run(fmax=1e-9, steps=steps)


def in_torch_sim(ensemble: Ensemble, pool: list[Crystal], steps: int) -> int:
    """Relax a pool as a search does; returns the steps that it took."""
    config = RelaxationConfig(
        fmax=1e-9,
        max_relative_uncertainty=1e9,
        patience=10**6,
        max_steps=steps,
        batch_size=16,
        volume_per_atom_bounds=(1e-3, 1e3),
        minimum_distance=0.0,
    )
    return sum(1 + one.steps for one in relax(pool, ensemble, config, VOLUME))


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
    stock = Ensemble(members, config.cutoff, fold=False)
    in_torch_sim(ensemble, pool[:16], 1)
    baseline(calculator, pool[0], 1)
    found, of_stock = [], []
    steps = 0

    def relax_all() -> None:
        nonlocal steps
        steps = in_torch_sim(ensemble, pool, STEPS)

    ensemble.edges = ensemble.atoms = 0
    slow = config.representation is Representation.SO3NET
    for n in range(rounds):
        few = pool[n : n + 1] if slow else pool[4 * n : 4 * n + 4]
        slow_time = sum(seconds(partial(baseline, calculator, one)) for one in few)
        fast_time = seconds(relax_all)
        found.append((len(few) * (1 + STEPS) / slow_time, steps / fast_time))
    few = pool[: 2 if slow else 16]
    stock_time = seconds(lambda: of_stock.append(in_torch_sim(stock, few, 2)))
    result = row(system, config.representation, config.cutoff, found)
    result["baseline_neighbors"] = round(calculator.edges / calculator.atoms_seen, 1)
    result["neighbors"] = round(ensemble.edges / ensemble.atoms, 1)
    result["stock_rate"] = round(of_stock[0] / stock_time, 3)
    result["peak_share"] = round(peak_share(ensemble, pool), 3)
    return result


if __name__ == "__main__":
    run(__doc__ or "", measure)
