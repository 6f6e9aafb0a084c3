"""SchNetPack networks: building them, and keeping them as safetensors with JSON."""

import json
import socket
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
from pyrite.errors import MachineError, PyriteError
from pyrite.models.checkpoints import METADATA_KEY, read_metadata
from pyrite.models.machine_trouble import gpu_is_lost

FORMAT_VERSION = 1
_ARCHITECTURE = frozenset(SurrogateConfig.model_fields) - {"members", "device"}
# What was not a setting when the oldest networks of this format were stored.
_BEFORE = {"norm_epsilon": 1e-8}


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
                backbone: nn.Module = representation.PaiNN(epsilon=config.norm_epsilon, **shared)
            case Representation.SO3NET:
                backbone = representation.SO3net(lmax=config.lmax, **shared)
            case Representation.SCHNET:
                backbone = representation.SchNet(**shared)
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


def choose_device(wanted: str) -> torch.device:
    """``auto`` is CUDA where there is one that works.

    Raises
    ------
    MachineError
        CUDA is wanted, and there is none.
    """
    if wanted == "auto":
        usable = torch.cuda.is_available() and not gpu_is_lost()
        return torch.device("cuda" if usable else "cpu")
    if wanted == "cuda" and not torch.cuda.is_available():
        raise MachineError(
            f"surrogate.device is cuda, but PyTorch sees no GPU on {socket.gethostname()}; let "
            "workers run there that have one (execution.gpu_category), and run the task again"
        )
    return torch.device(wanted)


def architecture(config: SurrogateConfig) -> dict[str, Any]:
    """The settings that fix a network's weights' names and shapes."""
    return config.model_dump(mode="json", include=set(_ARCHITECTURE))


def save_network(network: NeuralNetworkPotential, config: SurrogateConfig) -> bytes:
    """Weights as safetensors, with the architecture and format version as JSON."""
    weights = {name: value.cpu().contiguous() for name, value in network.state_dict().items()}
    described = architecture(config)
    if config.representation is Representation.PAINN:  # inherited weights keep theirs
        described["norm_epsilon"] = network.representation.mixing[0].epsilon
    header = {"format_version": FORMAT_VERSION, "architecture": described}
    # Shared interactions list the same tensor under several names, which
    # safetensors refuses; clones are written instead.
    unique = {name: value.clone() for name, value in weights.items()}
    return save(unique, metadata={METADATA_KEY: json.dumps(header, sort_keys=True)})


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
    network = build_network(SurrogateConfig(**_BEFORE | header["architecture"]), seed=0)
    network.load_state_dict(load(data))
    return network


def read_header(data: bytes) -> dict[str, Any]:
    """The JSON header of stored weights: ``format_version`` and ``architecture``."""
    header: dict[str, Any] = read_metadata(data)
    return header
