import contextlib

import numpy as np
import pytest
import torch
from tests.unit.builders import random_crystal

from pyrite.config import ExecutionConfig, Representation, SearchConfig
from pyrite.documents import LabelStatus
from pyrite.errors import SearchFailed
from pyrite.models import training
from pyrite.models.dataset import training_set, usable_labels
from pyrite.models.ensemble import Ensemble
from pyrite.models.networks import build_network, get_energy_offset, load_network, save_network
from pyrite.models.training import Trained, train_members
from pyrite.models.training_module import loss
from pyrite.models.walltime import OutOfTime


def settings(**training: object) -> SearchConfig:
    return SearchConfig(
        composition="Na2Cl2",
        surrogate={
            "members": 2,
            "features": 8,
            "radial_basis": 8,
            "cutoff": 4.0,
            "interactions": 1,
        },
        training={"updates": 300, "warm_updates": 20, "batch_size": 4} | training,
    )


@pytest.fixture
def labels(make_label):
    """Labels from a pair potential, so that there is something to learn."""
    from ase.calculators.morse import MorsePotential

    found = []
    for k in range(48):
        crystal = random_crystal(k)
        atoms = crystal.to_atoms()
        atoms.calc = MorsePotential(epsilon=0.3, r0=2.8, rho0=4.0, rcut1=3.0, rcut2=4.0)
        found.append(
            make_label(
                f"c{k:05d}",
                energy=float(atoms.get_potential_energy()) - 20.0,
                crystal=crystal,
                forces=atoms.get_forces().tolist(),
                stress=atoms.get_stress(voigt=False).tolist(),
            )
        )
    return found


def train_member(config, labels, iteration, member, inherited=None) -> Trained:
    earlier = {member: inherited} if inherited is not None else None
    return train_members(config, labels, iteration, [member], earlier)[0]


def forces_of(label) -> np.ndarray:
    return np.array(label.forces)


@pytest.mark.parametrize("schedule", ["onecycle", "plateau"])
def test_training_learns(labels, schedule):
    config = settings(schedule=schedule, validation_share=0.2)
    trained = train_member(config, labels, 0, 0)
    untrained = train_member(settings(updates=1), labels, 0, 0)
    assert trained.errors.forces < 0.7 * untrained.errors.forces
    assert trained.errors.energy < untrained.errors.energy
    assert (trained.labels, trained.left_out) == (48, 0)


@pytest.mark.parametrize("updates", [1, 2, 3, 9, 10, 19, 20])
def test_a_training_may_be_short(labels, updates):
    short = settings(validation_share=0.0, updates=updates, batch_size=len(labels))
    assert train_member(short, labels, 0, 0).epochs == updates


def test_the_same_member_is_trained_to_the_same_weights_and_others_differ(labels):
    config = settings(updates=8)
    one, same, other = (
        save_network(train_member(config, labels, 0, m).network, config.surrogate)
        for m in (0, 0, 1)
    )
    assert one == same
    assert one != other


def test_stored_energies_include_the_offset(labels):
    config = settings()
    network = train_member(config, labels, 0, 0).network
    mean = np.mean([label.energy / 4 for label in labels])
    assert get_energy_offset(network) == pytest.approx(mean, abs=1e-4)
    ensemble = Ensemble([load_network(save_network(network, config.surrogate))], 4.0)
    from pyrite.models.dataset import crystal_inputs

    energy = ensemble.evaluate(crystal_inputs([labels[0].crystal], 4.0)).energy
    assert float(energy) / 4 == pytest.approx(labels[0].energy / 4, abs=0.3)


def test_a_warm_start_begins_where_the_last_iteration_ended(labels):
    # On all labels: the few that would be held out have forces too small to learn from.
    config = settings(validation_share=0.0)
    first = train_member(config, labels, 0, 0)
    still = settings(validation_share=0.0, warm_updates=1, warm_learning_rate=1e-6)
    warm = train_member(still, labels, 1, 0, first.network)
    once = settings(validation_share=0.0, updates=1, warm_start=False)
    fresh = train_member(once, labels, 1, 0, first.network)
    assert warm.errors.forces < fresh.errors.forces
    assert get_energy_offset(warm.network) == get_energy_offset(first.network)


def test_early_stopping_ends_before_the_last_epoch(labels):
    config = settings(
        schedule="plateau",
        updates=2000,
        validation_share=0.25,
        early_stopping_patience=1,
        learning_rate=0.05,
    )
    assert train_member(config, labels, 0, 0).epochs < 600


def test_forces_above_the_limit_and_failed_labels_are_left_out(labels, make_label):
    config = settings(max_force=30.0).training
    hot = labels[0].model_copy(update={"forces": ((31.0, 0.0, 0.0),) * 4})
    failed = make_label("c9", energy=None, status=LabelStatus.FAILED, reason="no", forces=None)
    assert usable_labels([hot, failed, *labels[1:]], config) == labels[1:]


def test_outliers_by_three_sigma_are_left_out(labels):
    config = settings(outlier_sigma=3.0, max_force=500.0).training
    hot = labels[0].model_copy(update={"forces": ((100.0, 0.0, 0.0),) * 4})
    strained = labels[1].model_copy(update={"stress": ((50.0, 0.0, 0.0),) * 3})
    kept = usable_labels([hot, strained, *labels[2:]], config)
    assert hot not in kept
    assert strained not in kept
    assert len(kept) >= 12


def test_too_few_labels_are_an_error_that_names_the_remedy(labels):
    with pytest.raises(SearchFailed, match=r"selection\.first_labels"):
        train_member(settings(), labels[:1], 0, 0)


def test_batches_hold_their_labels(labels):
    data = training_set(labels, 4.0)
    inputs, targets = data.batch([3, 1])
    assert inputs["_n_atoms"].tolist() == [4, 4]
    assert inputs["_idx_j"].max() == 7
    wanted = np.concatenate([forces_of(labels[3]), forces_of(labels[1])])
    assert torch.allclose(targets.forces, torch.tensor(wanted, dtype=torch.float32))
    total = targets.energy + 4 * data.energy_offset
    assert total.tolist() == pytest.approx([labels[3].energy, labels[1].energy], abs=1e-4)


# -- members together ----------------------------------------------------------------------


def weights_of(config, trained) -> list[bytes]:
    return [save_network(one.network, config.surrogate) for one in trained]


def test_members_trained_together_are_those_trained_alone(labels):
    config = settings(updates=30)
    together = train_members(config, labels, 0, [0, 1])
    for member, one in enumerate(together):
        alone = train_member(config, labels, 0, member)
        for name, value in alone.network.state_dict().items():
            torch.testing.assert_close(one.network.state_dict()[name], value, rtol=1e-3, atol=1e-4)
        assert one.errors.forces == pytest.approx(alone.errors.forces, rel=1e-3)


def test_each_member_stops_by_itself_and_keeps_its_best_weights(labels):
    config = settings(
        schedule="plateau",
        updates=400,
        validation_share=0.25,
        early_stopping_patience=3,
        plateau_patience=1,
        learning_rate=0.02,
    )
    trained = train_members(config, labels, 0, [0, 1, 2])
    assert len({one.epochs for one in trained}) > 1
    assert max(one.epochs for one in trained) < 100
    for member, one in enumerate(trained):
        alone = train_member(config, labels, 0, member)
        assert one.epochs == alone.epochs


def test_the_weights_that_are_kept_are_the_best_that_were_seen(labels, monkeypatch):
    """Held-out losses of the returned networks are the lowest of their trainings."""
    config = settings(
        schedule="plateau",
        updates=200,
        validation_share=0.25,
        early_stopping_patience=3,
        learning_rate=0.02,
    )
    modules = []
    make = training.EnsembleModule
    monkeypatch.setattr(
        training, "EnsembleModule", lambda *a, **k: modules.append(make(*a, **k)) or modules[-1]
    )
    trained = train_members(config, labels, 0, [0, 1])
    (module,) = modules
    batch = module.labels.batch(module.held_out)
    networks = [one.network.eval() for one in trained]
    found = loss(batch.predict(networks, create_graph=False), batch.targets, config.training)
    lowest = [one.lowest for one in module.progress]
    assert found.tolist() == pytest.approx(lowest, rel=1e-4)


class Interrupted(Exception):
    pass


class FragileKeeper:
    """Keeps the state of a training that dies right after a save."""

    def __init__(self, saves: int) -> None:
        self.saves, self.content = saves, None

    def load(self) -> bytes | None:
        return self.content

    def save(self, content: bytes) -> None:
        self.content = content
        self.saves -= 1
        if self.saves == 0:
            raise Interrupted

    def require_time(self) -> None:
        pass


class HurriedKeeper(FragileKeeper):
    """Has time for one epoch in each job."""

    def __init__(self) -> None:
        super().__init__(-1)

    def require_time(self) -> None:
        raise OutOfTime


@pytest.mark.parametrize("schedule", ["onecycle", "plateau"])
@pytest.mark.parametrize("saves", [1, 5])
def test_a_training_that_was_killed_ends_with_the_same_weights(labels, schedule, saves):
    config = settings(
        schedule=schedule, updates=48, validation_share=0.25, plateau_patience=1
    ).model_copy(update={"execution": ExecutionConfig(checkpoint_seconds=0)})
    labels = labels[:16]
    undisturbed = train_members(config, labels, 0, [0, 1])
    keeper = FragileKeeper(saves)
    with pytest.raises(Interrupted):
        train_members(config, labels, 0, [0, 1], checkpoint=keeper)
    resumed = train_members(config, labels, 0, [0, 1], checkpoint=keeper)
    assert weights_of(config, resumed) == weights_of(config, undisturbed)
    assert [one.epochs for one in resumed] == [one.epochs for one in undisturbed]
    assert -keeper.saves < 48 // 3 - saves + 1, "the finished epochs were not done again"


@pytest.mark.parametrize("schedule", ["onecycle", "plateau"])
def test_a_training_in_many_jobs_of_an_epoch_each_ends_with_the_same_weights(labels, schedule):
    config = settings(schedule=schedule, updates=24, validation_share=0.25, plateau_patience=1)
    labels = labels[:16]
    keeper, jobs, trained = HurriedKeeper(), 0, None
    while trained is None:
        jobs += 1
        with contextlib.suppress(OutOfTime):
            trained = train_members(config, labels, 0, [0, 1], checkpoint=keeper)
    assert jobs == 24 // 3, "an epoch has three batches of four labels, or less"
    undisturbed = train_members(config, labels, 0, [0, 1])
    assert weights_of(config, trained) == weights_of(config, undisturbed)


@pytest.mark.parametrize("schedule", ["onecycle", "plateau"])
def test_a_training_that_was_killed_after_its_last_epoch_ends(labels, schedule):
    config = settings(
        schedule=schedule,
        updates=400 if schedule == "plateau" else 24,
        validation_share=0.25,
        early_stopping_patience=2,
        learning_rate=0.02,
    ).model_copy(update={"execution": ExecutionConfig(checkpoint_seconds=0)})
    keeper = FragileKeeper(-1)
    ended = train_members(config, labels, 0, [0, 1], checkpoint=keeper)
    again = train_members(config, labels, 0, [0, 1], checkpoint=keeper)
    assert weights_of(config, again) == weights_of(config, ended)


def test_a_damaged_state_costs_time_only(labels):
    config = settings(updates=8)
    keeper = FragileKeeper(-1)
    keeper.content = b"no such thing"
    undisturbed = train_members(config, labels, 0, [0])
    found = train_members(config, labels, 0, [0], checkpoint=keeper)
    assert weights_of(config, found) == weights_of(config, undisturbed)


def test_the_state_of_a_training_on_other_labels_is_not_continued(labels):
    config = settings(updates=24).model_copy(
        update={"execution": ExecutionConfig(checkpoint_seconds=0)}
    )
    keeper = FragileKeeper(1)
    with pytest.raises(Interrupted):
        train_members(config, labels, 0, [0], checkpoint=keeper)
    undisturbed = train_members(config, labels[1:], 0, [0])
    other = train_members(config, labels[1:], 0, [0], checkpoint=keeper)
    assert weights_of(config, other) == weights_of(config, undisturbed)


def test_networks_that_cannot_be_folded_are_trained_all_the_same(labels):
    config = settings()
    config = config.model_copy(
        update={
            "surrogate": config.surrogate.model_copy(
                update={"representation": Representation.SCHNET}
            )
        }
    )
    trained = train_members(config, labels, 0, [0, 1])
    untrained = train_members(
        config.model_copy(update={"training": config.training.model_copy(update={"updates": 1})}),
        labels,
        0,
        [0, 1],
    )
    assert all(a.errors.stress < b.errors.stress for a, b in zip(trained, untrained, strict=True))


def test_the_repulsion_is_not_trained(labels):
    trained = train_member(settings(updates=5), labels, 0, 0)
    own = trained.network.output_modules[1].state_dict()
    fresh = build_network(settings().surrogate, 0).output_modules[1].state_dict()
    assert all(torch.equal(own[name], value) for name, value in fresh.items())
