"""Models with random coefficients, points of their domain, and small networks."""

import functools
from itertools import pairwise

import numpy as np
import pytest
import torch

from robolearn.nets.threads import one_thread
from robolearn.verify.loop.basis import Basis
from robolearn.verify.loop.taylor import TaylorModel
from robolearn.verify.network import Network


@pytest.fixture(autouse=True)
def _one_thread():
    with one_thread():
        yield


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


class Layers:
    """x [n] -> y [m], with ReLU or tanh between random layers."""

    def __init__(self, sizes, seed, gain, dtype):
        rng = np.random.default_rng(seed)
        self.activation = (torch.relu, torch.tanh)[seed % 2]
        self.layers = []
        for fan, size in pairwise(sizes):
            weight, bias = rng.normal(size=(size, fan)) / np.sqrt(fan), 0.1 * rng.normal(size=size)
            self.layers.append([torch.from_numpy(x).to(dtype) for x in (weight, bias)])
        self.layers[-1] = [gain * x for x in self.layers[-1]]

    def __call__(self, x):
        for i, (weight, bias) in enumerate(self.layers):
            x = torch.nn.functional.linear(self.activation(x) if i else x, weight, bias)
        return x


@pytest.fixture(scope="session")
def network():
    """A small random network; the sizes of its layers, its seed, and the gain of its last layer."""

    def make(sizes, *, seed=0, gain=1.0, dtype=torch.float64):
        return Network(Layers(sizes, seed, gain, dtype), sizes[0], sizes[-1], dtype)

    return make


@pytest.fixture(scope="session")
def linear():
    """A network that is a linear function."""

    def make(weights):
        weight = torch.tensor(weights, dtype=torch.float64)
        bias = torch.zeros(len(weight), dtype=torch.float64)
        function = functools.partial(torch.nn.functional.linear, weight=weight, bias=bias)
        return Network(function, weight.shape[1], len(weight), torch.float64)

    return make


@pytest.fixture(scope="session")
def basis():
    return Basis(variables=2, order=2, symbols=3, degree=3)
