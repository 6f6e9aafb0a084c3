import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.unit.builders import random_crystal, rocksalt

from pyrite.config import RelaxationConfig
from pyrite.documents import Crystal, StopReason
from pyrite.models.dataset import Inputs, both_directions
from pyrite.models.ensemble import EnsembleOutput
from pyrite.models.ensemble_model import predict, relative_uncertainty
from pyrite.models.relaxation import relax

VOLUME = 22.0


class Springs:
    """A stand-in for the ensemble: atoms are tied to their neighbours at 2.8 Å by
    springs that every member agrees on up to ``disagreement`` (eV/Å)."""

    cutoff = 4.0
    device = torch.device("cpu")
    dtype = torch.float32

    def __init__(self, disagreement: float = 0.0, poison: int | None = None) -> None:
        self.disagreement, self.poison, self.evaluations = disagreement, poison, 0

    def evaluate(self, inputs: Inputs) -> EnsembleOutput:
        self.evaluations += 1
        inputs = both_directions(inputs)
        i, j, system = inputs["_idx_i"], inputs["_idx_j"], inputs["_idx_m"]
        n_systems = len(inputs["_n_atoms"])
        vectors = (inputs["_positions"][j] - inputs["_positions"][i] + inputs["_offsets"]).double()
        r = vectors.norm(dim=1)
        # V(r) = (r - 2.8)²·(4 - r)², so that it vanishes smoothly at the cutoff.
        pair = (r - 2.8) ** 2 * (4.0 - r) ** 2
        slope = 2 * (r - 2.8) * (4.0 - r) ** 2 - 2 * (r - 2.8) ** 2 * (4.0 - r)
        pull = (slope / r)[:, None] * vectors
        energy = torch.zeros(n_systems).double().index_add_(0, system[i], pair) / 2
        forces = torch.zeros(len(system), 3).double().index_add_(0, i, pull)
        virial = torch.zeros(n_systems, 9).double()
        virial.index_add_(0, system[i], (pull[:, :, None] * vectors[:, None]).flatten(1) / 2)
        volume = torch.linalg.det(inputs["_cell"].double()).abs()
        stress = virial.view(-1, 3, 3) / volume[:, None, None]
        if self.poison is not None and self.evaluations > self.poison:
            energy = energy * torch.nan
        spread = torch.tensor([-1.0, 1.0]).double() * self.disagreement
        return EnsembleOutput(
            energy=torch.stack([energy, energy]),
            forces=torch.stack([forces + s for s in spread]),
            stress=torch.stack([stress, stress]),
            descriptor=energy[:, None],
        )


def test_relaxation_converges_to_small_forces_and_lower_energy():
    crystals = [random_crystal(k) for k in range(5)]
    config = RelaxationConfig(max_steps=200, batch_size=2, fmax=0.01)
    before = predict(crystals, Springs(), config)
    after = relax(crystals, Springs(), config, VOLUME)
    assert [one.stop for one in after] == [StopReason.CONVERGED] * 5
    assert all(one.prediction.energy < then.energy for one, then in zip(after, before, strict=True))
    assert all(one.prediction.fmax < 0.02 for one in after)


def test_batching_does_not_change_who_is_who():
    crystals = [random_crystal(k) for k in range(6)] + [rocksalt(6.2)]
    small = relax(crystals, Springs(), RelaxationConfig(batch_size=2), VOLUME)
    large = relax(crystals, Springs(), RelaxationConfig(batch_size=7), VOLUME)
    for one, other, start in zip(small, large, crystals, strict=True):
        assert one.crystal.numbers == other.crystal.numbers == start.numbers
        assert one.prediction.energy == pytest.approx(other.prediction.energy, abs=1e-3)


def test_cells_relax_too():
    """All springs of rocksalt are short by 0.3 Å: the cell must grow to relax them."""
    (found,) = relax([rocksalt(5.0)], Springs(), RelaxationConfig(), VOLUME)
    lattice = np.array(found.crystal.cell)
    assert abs(np.linalg.det(lattice)) > 1.05 * 5.0**3 / 4


def test_disagreement_stops_a_candidate_where_it_is():
    config = RelaxationConfig(max_relative_uncertainty=0.5, look_ahead=False)
    (found,) = relax([random_crystal(1)], Springs(disagreement=50.0), config, VOLUME)
    assert (found.stop, found.steps, found.ahead) == (StopReason.UNCERTAIN, 1, None)


def test_an_uncertain_candidate_is_kept_where_it_became_so_and_relaxed_on():
    """Where a label would teach most, and where the ensemble would take it."""
    start, ensemble = random_crystal(1), Springs(disagreement=0.2)
    limit, floor = 0.5, 0.1  # uncertain where forces are below 0.4 eV/Å
    config = RelaxationConfig(max_relative_uncertainty=limit, uncertainty_floor=floor)
    (found,) = relax([start], ensemble, config, VOLUME)
    short = config.model_copy(update={"look_ahead": False})
    (left,) = relax([start], ensemble, short, VOLUME)
    assert (found.stop, found.crystal) == (StopReason.UNCERTAIN, left.crystal)
    assert found.prediction == left.prediction
    assert 1 < left.steps < found.steps
    free = config.model_copy(update={"max_relative_uncertainty": math.inf})
    (whole,) = relax([start], ensemble, free, VOLUME)
    end = found.ahead
    assert end is not None
    assert (end.stop, end.steps) == (StopReason.CONVERGED, found.steps)
    assert end.prediction.fmax < config.fmax
    assert end.prediction.energy == pytest.approx(whole.prediction.energy, abs=1e-6)
    assert end.prediction.uncertainty >= limit


def test_an_uncertain_candidate_that_breaks_has_no_end():
    config = RelaxationConfig(max_relative_uncertainty=0.5)
    start, ensemble = random_crystal(1), Springs(disagreement=50.0, poison=4)
    (found,) = relax([start], ensemble, config, VOLUME)
    assert (found.stop, found.ahead) == (StopReason.UNCERTAIN, None)
    assert found.steps > 1


def test_small_disagreement_at_a_minimum_is_certain_only_with_a_floor():
    crystal = relax([rocksalt()], Springs(), RelaxationConfig(fmax=0.001), VOLUME)[0].crystal
    ensemble = Springs(disagreement=0.02)
    certain = relax([crystal], ensemble, RelaxationConfig(uncertainty_floor=0.4), VOLUME)[0]
    frozen = relax([crystal], ensemble, RelaxationConfig(uncertainty_floor=0.001), VOLUME)[0]
    assert certain.stop is StopReason.CONVERGED
    assert frozen.stop is StopReason.UNCERTAIN


def test_max_steps_ends_a_slow_candidate():
    config = RelaxationConfig(max_steps=3, fmax=1e-9)
    (found,) = relax([random_crystal(2)], Springs(), config, VOLUME)
    assert (found.stop, found.steps) == (StopReason.MAX_STEPS, 3)


def test_a_candidate_that_no_longer_falls_stalls():
    config = RelaxationConfig(max_steps=400, fmax=1e-12, patience=5)
    (found,) = relax([random_crystal(3)], Springs(), config, VOLUME)
    assert found.stop is StopReason.STALLED
    assert found.steps < 400


class Rising(Springs):
    """Springs whose energy (eV/atom) rises with every evaluation."""

    def __init__(self, rise: float) -> None:
        super().__init__()
        self.rise = rise

    def evaluate(self, inputs: Inputs) -> EnsembleOutput:
        output = super().evaluate(inputs)
        rise = self.rise * self.evaluations * inputs["_n_atoms"]
        return replace(output, energy=output.energy + rise)


@pytest.mark.parametrize(
    ("rise", "stop"), [(1e-6, StopReason.CONVERGED), (0.01, StopReason.STALLED)]
)
def test_only_a_geometry_at_rest_is_called_converged(rise, stop):
    """A lower energy on the way is that of another basin, unless it is the same energy."""
    rest = relax([rocksalt(5.0)], Springs(), RelaxationConfig(fmax=0.001), VOLUME)[0].crystal
    atoms = rest.to_atoms()
    atoms.positions[0] += (0.03, 0.02, 0.0)
    config = RelaxationConfig(fmax=0.01)
    (found,) = relax([Crystal.from_atoms(atoms)], Rising(rise), config, VOLUME)
    assert found.stop is stop
    assert (found.prediction.fmax < 0.01) is (stop is StopReason.CONVERGED)


def test_broken_cells_are_marked_and_do_not_hurt_their_neighbours():
    dense = Crystal(
        numbers=(11,) * 2, positions=((0, 0, 0), (0, 0, 0.9)), cell=np.diag([4.0] * 3).tolist()
    )
    tiny = Crystal(numbers=(11,), positions=((0, 0, 0),), cell=np.diag([1.0] * 3).tolist())
    huge = Crystal(numbers=(11,), positions=((0, 0, 0),), cell=np.diag([9.0] * 3).tolist())
    needle = Crystal(
        numbers=(11,), positions=((0, 0, 0),), cell=np.diag([0.2, 10.0, 11.0]).tolist()
    )
    good = random_crystal(4)
    found = relax([dense, tiny, good, huge, needle], Springs(), RelaxationConfig(), VOLUME)
    assert [one.stop for one in found] == [
        StopReason.COLLAPSED,
        StopReason.COLLAPSED,
        StopReason.CONVERGED,
        StopReason.EXPLODED,
        StopReason.COLLAPSED,
    ]


def test_nan_energies_end_a_candidate():
    (found,) = relax([random_crystal(5)], Springs(poison=2), RelaxationConfig(), VOLUME)
    assert found.stop is StopReason.NOT_A_NUMBER


@pytest.mark.parametrize("max_steps", [1, 3])
def test_one_evaluation_for_the_start_and_one_for_each_step(max_steps):
    springs = Springs()
    config = RelaxationConfig(max_steps=max_steps, batch_size=4, fmax=1e-9)
    relax([random_crystal(k) for k in range(4)], springs, config, VOLUME)
    assert springs.evaluations == 1 + max_steps


def test_what_is_recorded_of_a_crystal_is_what_the_ensemble_says_of_it():
    """Whichever step it was left at; more crystals than fit into a batch."""
    crystals = [random_crystal(k) for k in range(5)]
    config = RelaxationConfig(max_steps=7, batch_size=2)
    found = relax(crystals, Springs(disagreement=0.05), config, VOLUME)
    again = predict([one.crystal for one in found], Springs(disagreement=0.05), config)
    for one, prediction in zip(found, again, strict=True):
        assert one.prediction.energy == pytest.approx(prediction.energy, abs=1e-6)
        assert one.prediction.fmax == pytest.approx(prediction.fmax, abs=1e-5)
        assert one.prediction.uncertainty == pytest.approx(prediction.uncertainty, rel=1e-4)


def minimum() -> Crystal:
    config = RelaxationConfig(fmax=1e-4, max_steps=400, patience=400)
    (found,) = relax([random_crystal(1)], Springs(), config, VOLUME)
    assert found.stop is StopReason.CONVERGED
    return found.crystal


def test_a_start_that_nothing_beats_is_kept():
    start = minimum()
    config = RelaxationConfig(fmax=1e-12, patience=3, max_steps=50)
    (found,) = relax([start], Springs(), config, VOLUME)
    (then,) = predict([start], Springs(), config)
    assert found.prediction.energy <= then.energy + 1e-7


def test_an_uncertain_start_is_left_at_the_first_step():
    """Where it was uncertain is what a label is wanted of."""
    start = minimum()
    config = RelaxationConfig(max_relative_uncertainty=0.5, uncertainty_floor=0.1, look_ahead=False)
    (found,) = relax([start], Springs(disagreement=0.2), config, VOLUME)
    assert (found.stop, found.steps) == (StopReason.UNCERTAIN, 1)
    assert found.prediction.uncertainty >= 0.5


def test_a_broken_start_ends_at_once_where_it_was():
    start = rocksalt(2.0)
    (found,) = relax([start], Springs(), RelaxationConfig(), VOLUME)
    assert (found.stop, found.steps) == (StopReason.COLLAPSED, 1)
    assert np.allclose(found.crystal.positions, start.positions)


def test_an_empty_pool_relaxes_to_nothing():
    assert relax([], Springs(), RelaxationConfig(), VOLUME) == []


def test_relative_uncertainty_by_hand():
    forces = torch.tensor([[[3.0, 0.0, 0.0], [0.0, 1.0, 0.0]], [[5.0, 0.0, 0.0], [0.0, 1.0, 0.0]]])
    uncertainty, fmax = relative_uncertainty(forces, torch.tensor([0, 1]), 2, floor=2.0)
    assert uncertainty.tolist() == pytest.approx([1 / 4, 0.0])
    assert fmax.tolist() == pytest.approx([4.0, 1.0])
    floored, _ = relative_uncertainty(forces / 10, torch.tensor([0, 0]), 1, floor=2.0)
    assert floored.tolist() == pytest.approx([0.05])


def test_what_ends_is_told_after_each_step_and_an_exception_ends_all():
    class Enough(Exception):
        pass

    told = []

    def after_step(ended):
        told.append([(index, one.stop) for index, one in ended])
        if sum(map(len, told)) > 1:
            raise Enough

    config = RelaxationConfig(batch_size=2, max_steps=3, fmax=1e-9)
    with pytest.raises(Enough):
        relax([random_crystal(k) for k in range(5)], Springs(), config, VOLUME, after_step)
    assert told == [[], [], [(0, StopReason.MAX_STEPS), (1, StopReason.MAX_STEPS)]]


def test_the_real_ensemble_relaxes_and_spreads(ensemble):
    crystals = [random_crystal(k) for k in range(3)]
    found = relax(crystals, ensemble, RelaxationConfig(max_steps=5), VOLUME)
    assert len(found) == 3
    assert all(len(one.prediction.descriptor) == 8 for one in found)
    assert all(one.prediction.energy_spread > 0 for one in found)
