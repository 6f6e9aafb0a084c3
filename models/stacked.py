"""Layers of all members of an ensemble as single batched operations.

Features come before positions, (M, features, …), so that a layer is one matrix
product per member. Stacking keeps the graph: gradients arrive at the parameters
of the members' own modules.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import nn

type Activation = Callable[[torch.Tensor], torch.Tensor]


def linear(weight: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
    """(M, out, in) times (M, in, …) is (M, out, …)."""
    product = weight @ features.flatten(2)
    return product.view(*product.shape[:2], *features.shape[2:])


@dataclass(frozen=True)
class StackedLinear:
    """The same linear layer of M members, with its activation.

    Attributes
    ----------
    weight : (M, out, in)
    bias : (M, out), or None
    """

    weight: torch.Tensor
    bias: torch.Tensor | None
    activation: Activation

    @classmethod
    def of(cls, layers: Sequence[Any]) -> Self:
        """Stack ``torch.nn.Linear`` or ``schnetpack.nn.Dense`` modules."""
        bias = None if layers[0].bias is None else torch.stack([one.bias for one in layers])
        return cls(
            torch.stack([one.weight for one in layers]),
            bias,
            getattr(layers[0], "activation", None) or nn.Identity(),
        )

    def __call__(self, features: torch.Tensor) -> torch.Tensor:
        """(M, in, …) to (M, out, …)."""
        product = self.weight @ features.flatten(2)
        if self.bias is not None:
            product = product + self.bias[:, :, None]
        activated = self.activation(product)
        return activated.view(*product.shape[:2], *features.shape[2:])


@dataclass(frozen=True)
class StackedPerceptron:
    """The same sequence of linear layers of M members."""

    layers: tuple[StackedLinear, ...]

    @classmethod
    def of(cls, networks: Sequence[Any]) -> Self:
        """Stack ``torch.nn.Sequential`` modules of linear layers."""
        return cls(tuple(map(StackedLinear.of, zip(*networks, strict=True))))

    def __call__(self, features: torch.Tensor) -> torch.Tensor:
        """(M, in, …) to (M, out, …)."""
        for layer in self.layers:
            features = layer(features)
        return features


def filter_weights(layers: Sequence[Any], blocks: int) -> torch.Tensor:
    """Filter layers whose outputs are ``blocks`` groups of F features.

    Returns
    -------
    (M, blocks, F, K) : the bias is the last of the K columns
    """
    joined = torch.stack([torch.cat([one.weight, one.bias[:, None]], 1) for one in layers])
    return joined.view(len(layers), blocks, -1, joined.shape[2])
