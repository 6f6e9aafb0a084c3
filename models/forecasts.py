"""What an ensemble says of labels that it has not seen."""

from collections.abc import Sequence

import torch

from pyrite.config import SearchConfig
from pyrite.documents import Forecast, Label, LabelStatus
from pyrite.models.dataset import crystal_inputs
from pyrite.models.ensemble import Ensemble


def forecast(config: SearchConfig, ensemble: Ensemble, labels: Sequence[Label]) -> list[Forecast]:
    """Predict the energies and forces of good labels, to be compared with what they are.

    Parameters
    ----------
    ensemble : of an iteration before that of the labels
    """
    good = [one for one in labels if one.status is LabelStatus.OK]
    found: list[Forecast] = []
    size = config.relaxation.batch_size
    for start in range(0, len(good), size):
        batch = good[start : start + size]
        inputs = crystal_inputs([one.crystal for one in batch], ensemble.cutoff, ensemble.dtype)
        output = ensemble.evaluate(inputs)
        atoms = [len(one.crystal.numbers) for one in batch]
        energy = output.energy.double()
        forces = output.forces.double()
        found += [
            Forecast(
                search_id=label.search_id,
                iteration=label.iteration,
                candidate_id=label.candidate_id,
                energy=mean / number,
                energy_spread=spread / number,
                forces=mean_forces.tolist(),
                force_spread=spread_of_forces.tolist(),
            )
            for label, number, mean, spread, mean_forces, spread_of_forces in zip(
                batch,
                atoms,
                energy.mean(0).tolist(),
                energy.std(0, correction=0).tolist(),
                torch.split(forces.mean(0), atoms),
                torch.split(forces.std(0, correction=0), atoms),
                strict=True,
            )
        ]
    return found
