"""Models with random coefficients, points of their domain, and small networks."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from robolearn.verify.graph import Affine, Elementwise, Graph, Input
from robolearn.verify.loop.basis import Basis
from robolearn.verify.loop.taylor import TaylorModel
from robolearn.verify.relaxations.piecewise import Relu
from robolearn.verify.relaxations.smooth import Tanh


class Points:
    """Points of a basis' domain, for each box as many: initial variables, error symbols, time."""

    def __init__(self, basis, rng, count, *, ends=False):
        draw = (lambda *shape: rng.choice([-1.0, 1.0], shape)) if ends else (lambda *shape: rng.uniform(-1, 1, shape))
        variables, symbols = draw(count, basis.variables), draw(count, basis.symbols)
        self.time = rng.choice([0.0, 0.5, 1.0], count) if ends else rng.uniform(0, 1, count)
        space = [np.prod(variables ** np.array(alpha, int), axis=1) for alpha in basis.exponents]
        self.variables = variables
        self.space = np.stack([*space, *symbols.T])  # [s, p]
        self.powers = self.time[None] ** np.arange(basis.degree + 1)[:, None]

    def values(self, model):
        """The polynomial of each box at the points, [b, p]."""
        return np.einsum("bst,sp,tp->bp", model.coefficients.numpy(), self.space, self.powers)


@pytest.fixture(scope="session")
def points():
    return Points


@pytest.fixture(scope="session")
def random_model():
    def make(basis, rng, *, boxes=3, size=0.3, center=0.0, radius=0.05):
        coefficients = rng.normal(size=(boxes, basis.size, basis.degree + 1))
        coefficients *= size / np.abs(coefficients).sum((1, 2), keepdims=True)
        coefficients[:, 0, 0] += center
        return TaylorModel(basis, torch.from_numpy(coefficients), torch.from_numpy(rng.uniform(0, radius, boxes)))

    return make


@pytest.fixture(scope="session")
def network():
    """A graph with random weights, of real numbers; the sizes of its layers, and how strong it is."""

    def make(sizes, *, seed=0, gain=1.0, function=None):
        rng, nodes = np.random.default_rng(seed), [Input(sizes[0], ())]
        for i, (fan, size) in enumerate(pairwise(sizes)):
            if i:
                nodes.append(Elementwise(fan, (len(nodes) - 1,), function or (Relu(), Tanh())[seed % 2], 0.0))
            last = i == len(sizes) - 2
            weight = torch.from_numpy(rng.normal(size=(size, fan)) / np.sqrt(fan)) * (gain if last else 1.0)
            bias = torch.from_numpy(rng.normal(size=size) * 0.1)
            zeros = torch.zeros_like(weight), torch.zeros_like(bias)
            nodes.append(Affine(size, (len(nodes) - 1,), (weight,), bias, (zeros[0],), zeros[1]))
        return Graph(tuple(nodes))

    return make


@pytest.fixture(scope="session")
def held():
    """A network that gives the same control whatever it reads."""

    def make(inputs, control):
        bias = torch.tensor(control, dtype=torch.float64)
        weight = torch.zeros(len(control), inputs, dtype=torch.float64)
        node = Affine(len(control), (0,), (weight,), bias, (torch.zeros_like(weight),), torch.zeros_like(bias))
        return Graph((Input(inputs, ()), node))

    return make


@pytest.fixture(scope="session")
def basis():
    return Basis(variables=2, order=2, symbols=3, degree=3)
