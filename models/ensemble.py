"""The ensemble of SchNetPack networks: building, evaluating, storing.

`Ensemble.evaluate` is the seam between networks and everything that uses them.
Relaxation and selection see only its output, so a faster evaluation of the
same networks can take its place.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import schnetpack.properties as keys
import torch
from safetensors.torch import load, save
from schnetpack import atomistic, representation
from schnetpack.model import NeuralNetworkPotential
from schnetpack.nn import CosineCutoff, GaussianRBF
from schnetpack.transform import AddOffsets
from torch import nn

from pyrite.config import Representation, SurrogateConfig
from pyrite.errors import PyriteError
from pyrite.models.dataset import Inputs

FORMAT_VERSION = 1
_ARCHITECTURE = frozenset(SurrogateConfig.model_fields) - {"members", "device"}
_METADATA_KEY = "pyrite"


@dataclass(frozen=True)
class EnsembleOutput:
    """Predictions of M members for B crystals with N atoms in all.

    Attributes
    ----------
    energy : (M, B), eV
    forces : (M, N, 3), eV/Å
    stress : (M, B, 3, 3), eV/Å³, tension positive
    descriptor : (B, f), scalar features of the first member summed over atoms
        and divided by their number, so that supercells share a descriptor
    """

    energy: torch.Tensor
    forces: torch.Tensor
    stress: torch.Tensor
    descriptor: torch.Tensor


def build_network(config: SurrogateConfig, seed: int) -> NeuralNetworkPotential:
    """A freshly initialised network.

    Parameters
    ----------
    config : the architecture; ``members`` and ``device`` play no part
    seed : of the random initial weights
    """
    basis = GaussianRBF(n_rbf=config.radial_basis, cutoff=config.cutoff)
    shared: dict[str, Any] = {
        "n_atom_basis": config.features,
        "n_interactions": config.interactions,
        "radial_basis": basis,
        "cutoff_fn": CosineCutoff(config.cutoff),
        "shared_interactions": config.shared_interactions,
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        match config.representation:
            case Representation.PAINN:
                backbone: nn.Module = representation.PaiNN(**shared)
            case Representation.SO3NET:
                backbone = representation.SO3net(lmax=config.lmax, **shared)
        head = atomistic.Atomwise(n_in=config.features, output_key="energy_network")
    energy: list[nn.Module] = [head]
    parts = ["energy_network"]
    if config.zbl:
        # Fixed parameters: the repulsion is there to stop what networks invent
        # where they have seen nothing, so it must not be trained away.
        energy.append(
            atomistic.ZBLRepulsionEnergy(
                energy_unit="eV",
                position_unit="Ang",
                output_key="energy_zbl",
                trainable=False,
                cutoff_fn=CosineCutoff(config.cutoff),
            )
        )
        parts.append("energy_zbl")
    return NeuralNetworkPotential(
        representation=backbone,
        input_modules=[atomistic.Strain(), atomistic.PairwiseDistances()],
        output_modules=[
            *energy,
            atomistic.Aggregation(parts, output_key=keys.energy),
            atomistic.Forces(calc_stress=True),
        ],
        postprocessors=[
            AddOffsets(keys.energy, add_mean=True, property_mean=torch.zeros(1), is_extensive=True)
        ],
    )


def set_energy_offset(network: NeuralNetworkPotential, offset: float) -> None:
    """Set the mean energy per atom (eV) that evaluation adds back."""
    network.postprocessors[0].mean.fill_(offset)


def get_energy_offset(network: NeuralNetworkPotential) -> float:
    """The mean energy per atom (eV) that evaluation adds back."""
    return float(network.postprocessors[0].mean)


class Ensemble:
    """M networks of one architecture, evaluated together.

    Parameters
    ----------
    networks : at least one
    cutoff : Å, of the neighbour lists that `evaluate` expects
    device : where the networks run
    """

    def __init__(
        self,
        networks: Sequence[NeuralNetworkPotential],
        cutoff: float,
        device: torch.device | None = None,
    ) -> None:
        self.device = device or torch.device("cpu")
        self.cutoff = cutoff
        self.networks = tuple(
            network.to(self.device).eval().requires_grad_(False) for network in networks
        )

    def __len__(self) -> int:
        return len(self.networks)

    def evaluate(self, inputs: Inputs) -> EnsembleOutput:
        """Energies, forces, stresses and descriptors of a batch."""
        moved = {key: value.to(self.device) for key, value in inputs.items()}
        energy, forces, stress = [], [], []
        descriptor = torch.empty(0)
        for member, network in enumerate(self.networks):
            # Networks write into their input; a shallow copy is enough.
            scratch = dict(moved)
            output = network(scratch)
            energy.append(output[keys.energy].detach())
            forces.append(output[keys.forces].detach())
            stress.append(output[keys.stress].detach())
            if member == 0:
                descriptor = _pool(scratch["scalar_representation"].detach(), moved)
        return EnsembleOutput(
            torch.stack(energy), torch.stack(forces), torch.stack(stress), descriptor
        )


def _pool(features: torch.Tensor, inputs: Inputs) -> torch.Tensor:
    n_atoms = inputs[keys.n_atoms]
    total = features.new_zeros(len(n_atoms), features.shape[1])
    total.index_add_(0, inputs[keys.idx_m], features)
    return total / n_atoms[:, None]


def choose_device(wanted: str) -> torch.device:
    """``auto`` is CUDA where there is one."""
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(wanted)


def architecture(config: SurrogateConfig) -> dict[str, Any]:
    """The settings that fix a network's weights' names and shapes."""
    return config.model_dump(mode="json", include=set(_ARCHITECTURE))


def save_network(network: NeuralNetworkPotential, config: SurrogateConfig) -> bytes:
    """Weights as safetensors, with the architecture and format version as JSON."""
    weights = {name: value.cpu().contiguous() for name, value in network.state_dict().items()}
    header = {"format_version": FORMAT_VERSION, "architecture": architecture(config)}
    # Shared interactions list the same tensor under several names, which
    # safetensors refuses; clones are written instead.
    unique = {name: value.clone() for name, value in weights.items()}
    return save(unique, metadata={_METADATA_KEY: json.dumps(header, sort_keys=True)})


def load_network(data: bytes) -> NeuralNetworkPotential:
    """Rebuild a network from `save_network`'s bytes.

    Raises
    ------
    PyriteError
        If the bytes were written by an unknown format version.
    """
    header = read_header(data)
    if header["format_version"] != FORMAT_VERSION:
        raise PyriteError(
            f"model format version {header['format_version']} is not known to this Pyrite "
            f"(it reads version {FORMAT_VERSION}): install the Pyrite that wrote it"
        )
    network = build_network(SurrogateConfig(**header["architecture"]), seed=0)
    network.load_state_dict(load(data))
    return network


def read_header(data: bytes) -> dict[str, Any]:
    """The JSON header of stored weights: ``format_version`` and ``architecture``."""
    # The safetensors layout: eight bytes of length, then a JSON header.
    length = int.from_bytes(data[:8], "little")
    header: dict[str, Any] = json.loads(
        json.loads(data[8 : 8 + length])["__metadata__"][_METADATA_KEY]
    )
    return header
