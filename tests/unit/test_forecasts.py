"""What networks say of labels before they learn them."""

import numpy as np
import pytest
from tests.unit.builders import random_crystal, rocksalt

from pyrite.documents import LabelStatus
from pyrite.models.dataset import crystal_inputs
from pyrite.models.forecasts import forecast


@pytest.mark.parametrize("batch_size", [1, 2, 100])
def test_forecasts_are_what_the_members_say_of_good_labels(
    config, ensemble, make_label, batch_size
):
    relaxation = config.relaxation.model_copy(update={"batch_size": batch_size})
    config = config.model_copy(update={"relaxation": relaxation})
    crystals = [random_crystal(1), rocksalt(), random_crystal(2, (11, 17, 17))]
    labels = [make_label(f"c{k}", crystal=one, iteration=3) for k, one in enumerate(crystals)]
    failed = make_label(
        "c9", status=LabelStatus.FAILED, energy=None, forces=None, stress=None, iteration=3
    )
    found = forecast(config, ensemble, [*labels[:1], failed, *labels[1:]])
    assert [one.candidate_id for one in found] == ["c0", "c1", "c2"]
    assert {(one.search_id, one.iteration) for one in found} == {("test", 3)}
    for crystal, one in zip(crystals, found, strict=True):
        said = ensemble.evaluate(crystal_inputs([crystal], ensemble.cutoff))
        energies = said.energy[:, 0].numpy() / len(crystal.numbers)
        assert one.energy == pytest.approx(energies.mean(), abs=1e-4)
        assert one.energy_spread == pytest.approx(energies.std(), abs=1e-4)
        forces = said.forces.numpy()
        assert np.array(one.forces) == pytest.approx(forces.mean(0), abs=1e-4)
        assert np.array(one.force_spread) == pytest.approx(forces.std(0), abs=1e-4)
