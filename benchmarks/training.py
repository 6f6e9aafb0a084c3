"""Training: all members at once on folded geometry against one after another.

    python -m benchmarks.training --quick --json FILE

The baseline updates five networks of the paper's size one after another with SchNetPack's
own forward and backward passes, on batches that are ready beforehand. Rates are structures ×
epochs per second for the whole ensemble: loss of energy, forces and stress, gradients, AdamW.
Folded geometry is computed once for a data set and not part of the rate; ``prepare_seconds``
says what it takes for each structure.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from schnetpack.model import NeuralNetworkPotential

from benchmarks.side_by_side import crystals, networks, row, run, seconds
from pyrite.config import SurrogateConfig, TrainingConfig
from pyrite.models.dataset import Targets, TrainingSet, crystal_inputs
from pyrite.models.joint import Batch, FoldedLabels, StockLabels
from pyrite.models.training_module import loss

STRUCTURES = 10
BATCH = 10


def labelled(system: str, cutoff: float) -> TrainingSet:
    """Random crystals with targets of no meaning: the cost does not depend on them."""
    inputs = [crystal_inputs([one], cutoff) for one in crystals(system, STRUCTURES, seed=1)]
    atoms = [len(one["_atomic_numbers"]) for one in inputs]
    targets = [
        Targets(torch.randn(1), torch.randn(n, 3), 0.01 * torch.randn(1, 3, 3)) for n in atoms
    ]
    return TrainingSet(tuple(inputs), tuple(targets), 0.0)


def one_pass(
    batches: Sequence[Batch],
    members: Sequence[NeuralNetworkPotential],
    optimizers: Sequence[torch.optim.Optimizer],
) -> None:
    """Update some members on every batch."""
    for batch in batches:
        for optimizer in optimizers:
            optimizer.zero_grad()
        predicted = batch.predict(members, create_graph=True)
        loss(predicted, batch.targets, TrainingConfig()).sum().backward()
        for optimizer in optimizers:
            optimizer.step()


def measure(system: str, config: SurrogateConfig, rounds: int) -> dict[str, Any]:
    """Rates of both on the same batch, alternately."""
    members = networks(config)
    data = labelled(system, config.cutoff)
    device = torch.device("cpu")
    prepared: list[FoldedLabels] = []
    prepare = seconds(lambda: prepared.append(FoldedLabels(data, members[0], device)))
    stock = StockLabels(data, device).batch(range(BATCH))
    folded = prepared[0].batch(range(BATCH))
    optimizers = [torch.optim.AdamW(one.parameters(), lr=1e-5, fused=True) for one in members]
    one_pass([folded], members, optimizers)
    found = []
    for _ in range(rounds):
        slow = sum(
            seconds(partial(one_pass, [stock], [one], [optimizer]))
            for one, optimizer in zip(members, optimizers, strict=True)
        )
        fast = seconds(partial(one_pass, [folded] * 3, members, optimizers)) / 3
        found.append((BATCH / slow, BATCH / fast))
    result = row(system, config.representation, config.cutoff, found)
    result["prepare_seconds"] = round(prepare / STRUCTURES, 4)
    return result


if __name__ == "__main__":
    run(__doc__ or "", measure)
