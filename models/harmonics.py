"""Angular functions of edges, with derivatives, in the convention of the networks.

SchNetPack evaluates its real spherical harmonics by a recipe that offers no
cheap derivative. On the unit sphere each is a homogeneous polynomial of its
degree; its coefficients are read off the network's own functions, so that
order, signs and normalisation are the network's whatever they are.
"""

from collections.abc import Callable

import torch

type AngularFunctions = Callable[[torch.Tensor], torch.Tensor]


class AngularBasis:
    """Harmonics up to degree ``lmax`` as polynomials of the direction.

    Parameters
    ----------
    functions : directions (E, 3) to values (E, (lmax + 1)²), degree by degree
    lmax : largest degree
    """

    def __init__(self, functions: AngularFunctions, lmax: int) -> None:
        self.lmax = lmax
        generator = torch.Generator().manual_seed(0)
        count = 8 * (lmax + 1) ** 2
        directions = torch.randn(count, 3, dtype=torch.float64, generator=generator)
        directions /= directions.norm(dim=1, keepdim=True)
        values = functions(directions)
        self._coefficients = [
            torch.linalg.lstsq(_monomials(directions, n), values[:, components(n)]).solution
            for n in range(lmax + 1)
        ]
        self._slopes = [
            torch.stack([_derivative(degree, axis) @ c for axis in range(3)], dim=-1)
            for degree, c in enumerate(self._coefficients)
        ]

    def __call__(self, directions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Values and derivatives.

        Parameters
        ----------
        directions : (E, 3), unit vectors

        Returns
        -------
        values : (E, S)
        slopes : (E, S, 3), dY/du of the polynomials, not projected on the sphere
        """
        values, slopes = [], []
        lower = directions.new_zeros(len(directions), 0)
        for degree in range(self.lmax + 1):
            monomials = _monomials(directions, degree)
            values.append(monomials @ self._coefficients[degree].to(monomials))
            slope = self._slopes[degree].to(monomials)
            slopes.append((lower @ slope.flatten(1)).view(-1, 2 * degree + 1, 3))
            lower = monomials
        return torch.cat(values, dim=1), torch.cat(slopes, dim=1)


def components(degree: int) -> slice:
    """Where the functions of one degree stand among all."""
    return slice(degree**2, (degree + 1) ** 2)


def _exponents(degree: int) -> list[tuple[int, int, int]]:
    return [
        (a, b, degree - a - b) for a in range(degree, -1, -1) for b in range(degree - a, -1, -1)
    ]


def _monomials(directions: torch.Tensor, degree: int) -> torch.Tensor:
    """x^a y^b z^c with a + b + c = degree, (E, n)."""
    powers = [torch.ones_like(directions)]
    for _ in range(degree):
        powers.append(powers[-1] * directions)
    return torch.stack(
        [powers[a][:, 0] * powers[b][:, 1] * powers[c][:, 2] for a, b, c in _exponents(degree)],
        dim=1,
    )


def _derivative(degree: int, axis: int) -> torch.Tensor:
    """∂/∂u_axis from monomials of ``degree`` to those one degree lower, (n_lower, n)."""
    lower = {powers: row for row, powers in enumerate(_exponents(degree - 1))} if degree else {}
    matrix = torch.zeros(len(lower), len(_exponents(degree)), dtype=torch.float64)
    for column, powers in enumerate(_exponents(degree)):
        if powers[axis]:
            a, b, c = (power - (k == axis) for k, power in enumerate(powers))
            matrix[lower[a, b, c], column] = powers[axis]
    return matrix
