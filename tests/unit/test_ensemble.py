import itertools
import json

import numpy as np
import pytest
import torch
from safetensors.torch import save
from tests.unit.builders import double_inputs, random_crystal, rocksalt

from pyrite.config import Representation, SurrogateConfig
from pyrite.documents import Crystal
from pyrite.errors import PyriteError
from pyrite.models import networks as module
from pyrite.models.dataset import crystal_inputs
from pyrite.models.ensemble import Ensemble
from pyrite.models.networks import (
    build_network,
    load_network,
    read_header,
    save_network,
    set_energy_offset,
)


def small(**fields: object) -> SurrogateConfig:
    return SurrogateConfig(
        **{"members": 2, "features": 8, "radial_basis": 8, "cutoff": 4.0} | fields
    )


KINDS = [
    small(representation=kind, shared_interactions=shared, zbl=zbl)
    for kind, shared, zbl in itertools.product(Representation, (True, False), (True, False))
]


def kind_name(config: SurrogateConfig) -> str:
    return f"{config.representation}-{config.shared_interactions}-{config.zbl}"


def make(config: SurrogateConfig, dtype: torch.dtype = torch.float32) -> Ensemble:
    networks = [build_network(config, seed) for seed in (0, 1)]
    return Ensemble(networks, config.cutoff, dtype=dtype)


def evaluate(ensemble: Ensemble, *crystals: Crystal):
    return ensemble.evaluate(crystal_inputs(crystals, ensemble.cutoff))


@pytest.mark.parametrize("config", KINDS, ids=kind_name)
def test_a_batch_gives_what_single_crystals_give(config):
    ensemble = make(config)
    crystals = [random_crystal(1), rocksalt(), random_crystal(2, (11, 17, 17))]
    batch = evaluate(ensemble, *crystals)
    singles = [evaluate(ensemble, crystal) for crystal in crystals]
    for name, axis in (("energy", 1), ("forces", 1), ("stress", 1), ("descriptor", 0)):
        joined = torch.cat([getattr(one, name) for one in singles], axis)
        torch.testing.assert_close(getattr(batch, name), joined, rtol=1e-4, atol=1e-4)


def strained(crystal: Crystal, strain: np.ndarray) -> Crystal:
    deform = np.eye(3) + strain
    return Crystal(
        numbers=crystal.numbers,
        positions=(np.array(crystal.positions) @ deform).tolist(),
        cell=(np.array(crystal.cell) @ deform).tolist(),
    )


def moved(crystal: Crystal, atom: int, axis: int, step: float) -> Crystal:
    positions = np.array(crystal.positions)
    positions[atom, axis] += step
    return Crystal(numbers=crystal.numbers, positions=positions.tolist(), cell=crystal.cell)


@pytest.mark.parametrize("config", KINDS, ids=kind_name)
def test_forces_and_stress_are_derivatives_of_the_energy(config):
    crystal, h = random_crystal(3), 1e-4
    ensemble = make(config, torch.float64)

    def energies(*several: Crystal) -> torch.Tensor:
        return ensemble.evaluate(double_inputs(several, ensemble.cutoff)).energy

    output = ensemble.evaluate(double_inputs([crystal], ensemble.cutoff))
    for atom, axis in itertools.product(range(2), range(3)):
        e = energies(moved(crystal, atom, axis, h), moved(crystal, atom, axis, -h))
        numeric = -(e[:, 0] - e[:, 1]) / (2 * h)
        torch.testing.assert_close(output.forces[:, atom, axis], numeric, rtol=1e-5, atol=1e-6)
    volume = crystal.volume_per_atom * len(crystal.numbers)
    for a, b in itertools.product(range(3), range(3)):
        strain = np.zeros((3, 3))
        strain[a, b] = h
        e = energies(strained(crystal, strain), strained(crystal, -strain))
        numeric = (e[:, 0] - e[:, 1]) / (2 * h * volume)
        torch.testing.assert_close(output.stress[:, 0, a, b], numeric, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("config", KINDS, ids=kind_name)
def test_rotation_permutation_translation_and_supercells(config):
    ensemble, crystal = make(config, torch.float64), random_crystal(4)

    def predicted(one: Crystal):
        return ensemble.evaluate(double_inputs([one], ensemble.cutoff))

    def assert_same(after, energy, forces, stress):
        for found, wanted in zip(
            (after.energy, after.forces, after.stress, after.descriptor),
            (energy, forces, stress, before.descriptor),
            strict=True,
        ):
            torch.testing.assert_close(
                found, wanted, rtol=1e-6, atol=1e-6 * float(wanted.abs().max())
            )

    before = predicted(crystal)
    rotation, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))
    turn = torch.tensor(rotation)
    turned = crystal.model_copy(
        update={
            "positions": (np.array(crystal.positions) @ rotation).tolist(),
            "cell": (np.array(crystal.cell) @ rotation).tolist(),
        }
    )
    assert_same(
        predicted(turned), before.energy, before.forces @ turn, turn.T @ before.stress @ turn
    )

    order = [2, 0, 3, 1]
    swapped = crystal.model_copy(
        update={
            "numbers": [crystal.numbers[k] for k in order],
            "positions": [crystal.positions[k] for k in order],
        }
    )
    assert_same(predicted(swapped), before.energy, before.forces[:, order], before.stress)

    shift = np.array([7.1, -3.3, 0.4])
    shifted = crystal.model_copy(
        update={"positions": (np.array(crystal.positions) + shift).tolist()}
    )
    assert_same(predicted(shifted), before.energy, before.forces, before.stress)

    cell = np.array(crystal.cell)
    double = Crystal(
        numbers=[*crystal.numbers, *crystal.numbers],
        positions=[*crystal.positions, *(np.array(crystal.positions) + cell[0]).tolist()],
        cell=[(2 * cell[0]).tolist(), *cell[1:].tolist()],
    )
    assert_same(predicted(double), 2 * before.energy, before.forces.repeat(1, 2, 1), before.stress)


@pytest.mark.parametrize("config", KINDS, ids=kind_name)
def test_stored_networks_come_back_the_same(config):
    network = build_network(config, 5)
    set_energy_offset(network, -3.25)
    data = save_network(network, config)
    assert not data.startswith(b"PK"), "a zip archive of torch.save is a pickle"
    one = Ensemble([network], config.cutoff)
    other = Ensemble([load_network(data)], config.cutoff)
    crystal = random_crystal(5)
    assert torch.equal(evaluate(one, crystal).energy, evaluate(other, crystal).energy)
    assert read_header(data)["architecture"]["representation"] == config.representation


def test_an_unknown_format_version_is_refused(monkeypatch):
    monkeypatch.setattr(module, "FORMAT_VERSION", 99)
    data = save_network(build_network(small(), 0), small())
    monkeypatch.undo()
    with pytest.raises(PyriteError, match="format version 99"):
        load_network(data)


def test_networks_from_before_the_norms_were_smoothed_keep_their_cusps(monkeypatch):
    config = small(representation=Representation.PAINN, norm_epsilon=1e-8)
    network = build_network(config, 5)
    # Weights that a search has inherited say what they are, whatever its settings are.
    data = save_network(network, small(representation=Representation.PAINN))
    assert read_header(data)["architecture"]["norm_epsilon"] == 1e-8

    monkeypatch.setattr(
        module, "save", lambda weights, metadata: save(weights, header_without_norms(metadata))
    )
    data = save_network(network, config)
    assert "norm_epsilon" not in read_header(data)["architecture"]
    assert load_network(data).representation.mixing[0].epsilon == 1e-8


def header_without_norms(metadata: dict[str, str]) -> dict[str, str]:
    header = json.loads(metadata[module.METADATA_KEY])
    del header["architecture"]["norm_epsilon"]
    return {module.METADATA_KEY: json.dumps(header)}


@pytest.mark.parametrize(("epsilon", "smooth"), [(0.01, True), (1e-8, False)])
def test_forces_are_smooth_at_sites_of_inversion_symmetry(epsilon, smooth):
    """PaiNN's vectors vanish there, and the root of their squares has a cusp: forces jump."""
    config = small(representation=Representation.PAINN, norm_epsilon=epsilon, zbl=False)
    ensemble = make(config, torch.float64)
    crystal = Crystal.from_structure(rocksalt(5.4).to_structure() * (2, 2, 2))
    forces = []
    for distance in (1e-3, 1e-2):
        atoms = crystal.to_atoms()
        atoms.positions[0, 0] += distance
        inputs = double_inputs([Crystal.from_atoms(atoms)], ensemble.cutoff)
        forces.append(float(ensemble.evaluate(inputs).forces[:, 0, 0].abs().mean()))
    ratio = forces[0] / forces[1]
    assert (ratio == pytest.approx(0.1, rel=0.2)) is smooth, ratio


def test_members_differ_by_seed_and_building_leaves_the_global_stream_alone():
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    one, same, other = (build_network(small(), seed) for seed in (0, 0, 1))
    assert torch.equal(torch.rand(1), expected)
    weights = [
        dict(n.named_parameters())["representation.embedding.weight"] for n in (one, same, other)
    ]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_the_repulsion_keeps_atoms_apart():
    config = small(zbl=True)
    ensemble = Ensemble([build_network(config, 0)], config.cutoff)
    near = Crystal(
        numbers=(14, 14), positions=((0, 0, 0), (0, 0, 0.7)), cell=np.diag([6.0] * 3).tolist()
    )
    far = near.model_copy(update={"positions": ((0.0, 0.0, 0.0), (0.0, 0.0, 2.4))})
    energies = evaluate(ensemble, near, far).energy[0]
    assert energies[0] - energies[1] > 50
