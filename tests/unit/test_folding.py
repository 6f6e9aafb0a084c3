"""Folded evaluation is SchNetPack's, to the precision of the arithmetic."""

import itertools

import numpy as np
import pytest
import schnetpack.properties as keys
import torch
from schnetpack import atomistic, representation
from schnetpack.atomistic import StaticExternalFields
from schnetpack.interfaces.ase_interface import AtomsConverter
from schnetpack.nn import CosineCutoff, GaussianRBF
from schnetpack.transform import ASENeighborList
from tests.unit.builders import double_inputs, random_crystal, rocksalt

from pyrite.config import Representation, SurrogateConfig, TrainingConfig
from pyrite.documents import Crystal
from pyrite.models import ensemble as ensemble_module
from pyrite.models import joint
from pyrite.models.dataset import (
    Inputs,
    Targets,
    TrainingSet,
    both_directions,
    crystal_inputs,
    same_size_groups,
)
from pyrite.models.ensemble import Ensemble
from pyrite.models.folded import can_fold, edge_basis, worth_folding
from pyrite.models.harmonics import AngularBasis
from pyrite.models.joint import FoldedLabels, StockLabels
from pyrite.models.networks import build_network, set_energy_offset
from pyrite.models.training_module import loss

FOLDABLE = (Representation.PAINN, Representation.SO3NET)


def architecture(kind: Representation, **fields: object) -> SurrogateConfig:
    defaults = {"representation": kind, "features": 8, "radial_basis": 6, "cutoff": 4.5}
    return SurrogateConfig(**{**defaults, **fields})


def networks(config: SurrogateConfig, members: int):
    found = [build_network(config, seed) for seed in range(members)]
    for k, network in enumerate(found):
        set_energy_offset(network, -1.0 - k)
    return found


def needle() -> Crystal:
    """A skewed cell, far thinner than the cutoff."""
    cell = [[2.4, 0.0, 0.0], [1.1, 2.6, 0.0], [4.0, 2.0, 8.0]]
    positions = [[0.0, 0.0, 0.0], [1.2, 0.9, 2.3], [2.5, 1.5, 5.1]]
    return Crystal(numbers=(14, 14, 8), positions=positions, cell=cell)


def crystals() -> list[Crystal]:
    """One to four elements, one to four atoms, of several sizes in one batch."""
    single = Crystal(
        numbers=(14,), positions=((0, 0, 0),), cell=((0, 2.7, 2.7), (2.7, 0, 2.7), (2.7, 2.7, 0))
    )
    return [
        random_crystal(1),
        rocksalt(),
        needle(),
        random_crystal(2, (8, 13, 29, 47)),
        single,
        random_crystal(3, (14, 14, 14)),
    ]


def both(config: SurrogateConfig, members: int, inputs: Inputs, dtype: torch.dtype):
    one = Ensemble(networks(config, members), config.cutoff, dtype=dtype)
    assert one._folded is not None
    stock = one._evaluate_stock(
        {k: v.to(dtype) if v.is_floating_point() else v for k, v in inputs.items()}
    )
    return one.evaluate(inputs), stock


def assert_same(found, wanted, tolerance: float) -> None:
    for name in ("energy", "forces", "stress", "descriptor"):
        one, other = getattr(found, name), getattr(wanted, name)
        scale = float(other.abs().max())
        torch.testing.assert_close(
            one,
            other,
            rtol=tolerance,
            atol=tolerance * scale,
            msg=lambda text, name=name: f"{name}: {text}",
        )


def name_of(config: SurrogateConfig) -> str:
    shared = "shared" if config.shared_interactions else "separate"
    zbl = "zbl" if config.zbl else "bare"
    return f"{config.representation}-{config.interactions}-{shared}-lmax{config.lmax}-{zbl}"


ARCHITECTURES = [
    architecture(kind, interactions=layers, shared_interactions=shared)
    for kind, layers, shared in itertools.product(FOLDABLE, (1, 2, 3), (True, False))
] + [
    architecture(Representation.SO3NET, lmax=1),
    architecture(Representation.SO3NET, lmax=3),
    architecture(Representation.PAINN, zbl=False),
]


@pytest.mark.parametrize(
    "config",
    ARCHITECTURES,
    ids=name_of,
)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 2e-4)])
def test_folded_is_stock(config, dtype, tolerance):
    inputs = double_inputs(crystals(), config.cutoff)
    assert_same(*both(config, 2, inputs, dtype), tolerance)


@pytest.mark.parametrize("kind", FOLDABLE)
@pytest.mark.parametrize("members", [1, 3, 8])
def test_any_number_of_members(kind, members):
    config = architecture(kind)
    found, stock = both(config, members, double_inputs(crystals(), config.cutoff), torch.float64)
    assert found.energy.shape == (members, 6)
    assert_same(found, stock, 1e-9)


@pytest.mark.parametrize("kind", FOLDABLE)
def test_three_hundred_atoms(kind, monkeypatch):
    crystal = Crystal.from_structure(rocksalt().to_structure() * (5, 5, 6))
    config = architecture(kind)
    inputs = double_inputs([crystal], config.cutoff)
    network = build_network(config, 0)
    assert not worth_folding(network, inputs), "so many atoms are evaluated edge by edge"
    monkeypatch.setattr(ensemble_module, "worth_folding", lambda *_: True)
    rng = np.random.default_rng(0)
    moved = np.array(crystal.positions) + rng.normal(scale=0.1, size=(300, 3))
    rattled = Crystal(numbers=crystal.numbers, positions=moved.tolist(), cell=crystal.cell)
    assert_same(*both(config, 2, double_inputs([rattled], config.cutoff), torch.float64), 1e-9)


@pytest.mark.parametrize("kind", FOLDABLE)
def test_large_batches_are_evaluated_in_pieces(kind, monkeypatch):
    config = architecture(kind)
    inputs = double_inputs(crystals(), config.cutoff)
    whole, _ = both(config, 2, inputs, torch.float64)
    monkeypatch.setattr(ensemble_module, "_PAIRS_AT_ONCE", 10)
    assert_same(both(config, 2, inputs, torch.float64)[0], whole, 1e-12)


@pytest.mark.parametrize("kind", FOLDABLE)
def test_the_descriptor_is_that_of_the_chosen_member(kind):
    config = architecture(kind)
    inputs = double_inputs(crystals(), config.cutoff)
    second = Ensemble(networks(config, 2), config.cutoff, dtype=torch.float64, descriptor_member=1)
    alone = Ensemble(networks(config, 2)[1:], config.cutoff, dtype=torch.float64)
    torch.testing.assert_close(
        second.evaluate(inputs).descriptor, alone.evaluate(inputs).descriptor
    )


# -- training ----------------------------------------------------------------------------


def training_set(config: SurrogateConfig) -> TrainingSet:
    """Labels with targets of no meaning."""
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, dtype=torch.float64, generator=generator)

    inputs = [double_inputs([one], config.cutoff) for one in crystals()]
    targets = [Targets(draw(1), draw(len(one[keys.Z]), 3), draw(1, 3, 3)) for one in inputs]
    return TrainingSet(tuple(inputs), tuple(targets), 0.0)


@pytest.mark.parametrize(
    "config",
    ARCHITECTURES,
    ids=name_of,
)
def test_the_gradient_for_every_parameter_is_that_of_stock_training(config):
    data = training_set(config)
    gradients = []
    for kind in (FoldedLabels, StockLabels):
        members = [network.double() for network in networks(config, 2)]
        device = torch.device("cpu")
        labels = kind(data, members[0], device) if kind is FoldedLabels else kind(data, device)
        batch = labels.batch([4, 0, 2, 1, 5])
        losses = loss(batch.predict(members, create_graph=True), batch.targets, TrainingConfig())
        losses.sum().backward()
        gradients.append(
            [
                {name: p.grad for name, p in network.named_parameters() if p.requires_grad}
                for network in members
            ]
        )
    for folded, stock in zip(*gradients, strict=True):
        assert folded.keys() == stock.keys()
        for name, wanted in stock.items():
            scale = float(wanted.abs().max())
            torch.testing.assert_close(
                folded[name],
                wanted,
                rtol=1e-8,
                atol=1e-8 * scale,
                msg=lambda text, name=name: f"{name}: {text}",
            )
    assert any(float(p.abs().max()) > 0 for p in gradients[0][0].values())


def test_predictions_without_a_graph_leave_none():
    config = architecture(Representation.PAINN)
    members = [network.double() for network in networks(config, 2)]
    data = training_set(config)
    for labels in (
        FoldedLabels(data, members[0], torch.device("cpu")),
        StockLabels(data, torch.device("cpu")),
    ):
        found = labels.batch([0, 1]).predict(members, create_graph=False)
        assert not any(one.requires_grad for one in (found.energy, found.forces, found.stress))


# -- what cannot be folded ---------------------------------------------------------------


def field_schnet(cutoff: float) -> torch.nn.Module:
    return representation.FieldSchNet(
        n_atom_basis=8,
        n_interactions=1,
        radial_basis=GaussianRBF(6, cutoff),
        external_fields=["electric_field"],
        response_properties=["dipole_moment"],
        cutoff_fn=CosineCutoff(cutoff),
    )


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("kind", ["schnet", "field"])
def test_what_cannot_be_folded_is_evaluated_by_schnetpack(kind):
    """One crystal at a time, with SchNetPack's own converter and neighbours, gives the same."""
    config = architecture(Representation.SCHNET, zbl=False)
    members = [one.double() for one in networks(config, 2)]
    if kind == "field":
        for one in members:
            one.representation = field_schnet(config.cutoff).double()
            one.input_modules.append(StaticExternalFields(["electric_field"]))
    assert not can_fold(members[0])
    one = Ensemble(members, config.cutoff, dtype=torch.float64)
    assert one._folded is None
    found = one.evaluate(double_inputs(crystals(), config.cutoff))
    convert = AtomsConverter(ASENeighborList(config.cutoff), dtype=torch.float64)
    for k, member in enumerate(members):
        wanted = [member(convert(crystal.to_atoms())) for crystal in crystals()]
        for name in ("energy", "forces", "stress"):
            joined = torch.cat([one[name].detach() for one in wanted])
            torch.testing.assert_close(getattr(found, name)[k], joined, rtol=1e-9, atol=1e-9)
    prepared = joint.prepare(training_set(config), members[0], torch.device("cpu"), 8)
    assert isinstance(prepared, StockLabels)


@pytest.mark.parametrize(
    "change",
    [
        "trained radial basis",
        "electronic embedding",
        "average energy",
        "trained repulsion",
        "field",
    ],
)
def test_networks_with_other_parts_are_not_folded(change):
    config = architecture(Representation.PAINN)
    network = build_network(config, 0)
    assert can_fold(network)
    match change:
        case "trained radial basis":
            network.representation.radial_basis = GaussianRBF(6, config.cutoff, trainable=True)
        case "electronic embedding":
            network.representation.electronic_embeddings.append(torch.nn.Identity())
        case "average energy":
            network.output_modules[0].aggregation_mode = "avg"
        case "trained repulsion":
            torch.nn.init.ones_(network.output_modules[1].coefficients)
        case "field":
            network.representation = field_schnet(config.cutoff)
    assert not can_fold(network)


# -- parts -------------------------------------------------------------------------------


@pytest.mark.parametrize("lmax", [1, 2, 4])
def test_harmonics_have_the_networks_values_and_right_slopes(lmax):
    from schnetpack.nn.so3 import RealSphericalHarmonics

    stock = RealSphericalHarmonics(lmax=lmax).double()
    basis = AngularBasis(stock, lmax)
    rng = np.random.default_rng(0)
    v = torch.from_numpy(rng.normal(size=(20, 3)))
    u = v / v.norm(dim=1, keepdim=True)
    values, slopes = basis(u)
    torch.testing.assert_close(values, stock(u), rtol=0, atol=1e-10)
    h = 1e-6
    for axis in range(3):
        step = torch.zeros(3, dtype=torch.float64)
        step[axis] = h
        numeric = (basis(u + step)[0] - basis(u - step)[0]) / (2 * h)
        torch.testing.assert_close(slopes[..., axis], numeric, rtol=1e-7, atol=1e-7)


def test_radial_functions_have_right_slopes_and_end_at_the_cutoff():
    network = build_network(architecture(Representation.PAINN), 0).double()
    basis = edge_basis(network)
    r = torch.linspace(0.5, 4.4, 30, dtype=torch.float64)
    h = 1e-6
    numeric = (basis.radial_part(r + h)[:, 1] - basis.radial_part(r - h)[:, 1]) / (2 * h)
    torch.testing.assert_close(basis.radial_part(r)[:, 0], numeric, rtol=1e-6, atol=1e-8)
    assert float(basis.radial_part(torch.tensor([4.6], dtype=torch.float64)).abs().max()) == 0


@pytest.mark.parametrize(
    ("pairs_at_once", "sizes"), [(1000, [1, 1, 2, 2]), (20, [1, 1, 2, 1, 1]), (1, [1] * 6)]
)
def test_groups_hold_each_crystal_once(pairs_at_once, sizes):
    several = crystals()
    inputs = crystal_inputs(several, 4.0)
    groups = same_size_groups(inputs, pairs_at_once)
    assert [len(one.inputs[keys.n_atoms]) for one in groups] == sizes
    assert sorted(torch.cat([one.crystals for one in groups]).tolist()) == list(range(6))
    for one in groups:
        alone = crystal_inputs([several[k] for k in one.crystals], 4.0)
        assert all(torch.equal(one.inputs[key], alone[key]) for key in alone)
        assert torch.equal(inputs[keys.R][one.atoms], alone[keys.R])


@pytest.mark.parametrize(("batch_size", "kind"), [(2048, FoldedLabels), (2049, StockLabels)])
def test_batches_of_too_many_pairs_are_trained_by_schnetpack(batch_size, kind):
    """Of crystals of four atoms, sixteen pairs each."""
    config = architecture(Representation.PAINN)
    data = training_set(config)
    assert max(len(one[keys.Z]) for one in data.inputs) == 4
    prepared = joint.prepare(data, networks(config, 1)[0], torch.device("cpu"), batch_size)
    assert isinstance(prepared, kind)


def test_trained_networks_work_in_stock_schnetpack():
    network = build_network(architecture(Representation.PAINN), 0)
    assert isinstance(network.output_modules[0], atomistic.Atomwise)
    output = network(both_directions(crystal_inputs([rocksalt()], 4.5)))
    assert torch.isfinite(output[keys.energy]).all()
