"""Networks that are asked about: random ones, trained ones, and ones with a counterexample that is hard to find."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

ACTIVATIONS = (nn.ReLU, nn.LeakyReLU, nn.Tanh, nn.Sigmoid, nn.SiLU, nn.GELU)


def perceptron(sizes: tuple[int, ...], activation: type[nn.Module], seed: int, gain: float = 1.0) -> nn.Sequential:
    """Random weights, from sizes[0] inputs to sizes[-1] outputs."""
    generator = torch.Generator().manual_seed(seed)
    layers: list[nn.Module] = []
    for n, m in pairwise(sizes):
        layer = nn.Linear(n, m)
        with torch.no_grad():
            layer.weight.copy_(torch.randn(m, n, generator=generator) * gain * (2 / n) ** 0.5)
            layer.bias.copy_(torch.randn(m, generator=generator) * 0.3)
        layers += [layer, activation()]
    return nn.Sequential(*layers[:-1]).requires_grad_(False)


class Conditioned(nn.Module):
    """What the default backbone of a policy is made of: layer normalization, FiLM, a residual; and softmax."""

    def __init__(self, size: int, width: int, seed: int) -> None:
        super().__init__()
        self.embed, self.condition = (perceptron((size, width), nn.SiLU, seed + i) for i in range(2))
        self.film = perceptron((width, 2 * width), nn.SiLU, seed + 2)
        self.up, self.down = (perceptron((width, width), nn.SiLU, seed + 3 + i) for i in range(2))
        self.out, self.norm = perceptron((width, 3), nn.SiLU, seed + 5), nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        """Three numbers that add up to 1."""
        h = self.embed(x)
        scale, shift = self.film(nn.functional.silu(self.condition(x))).chunk(2, -1)
        h = h + self.down(nn.functional.silu(self.up(torch.addcmul(self.norm(h) + shift, self.norm(h), scale))))
        return self.out(self.norm(h)).softmax(-1)


def trained(size: int, activation: type[nn.Module], seed: int, steps: int) -> nn.Sequential:
    """A network fitted to a wave, as trained weights are less even than random ones."""
    torch.manual_seed(seed)
    net = perceptron((size, 64, 64, 2), activation, seed).requires_grad_(True)
    direction = torch.randn(size, 2)
    optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
    for _ in range(steps):
        x = torch.rand(256, size) * 2 - 1
        loss = (net(x) - (2 * x @ direction).sin()).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return net.requires_grad_(False)


class Planted(nn.Module):
    """A network above `floor` but in a small diamond around one point, where it is below 0: y(point) = -depth.

    y = floor + relu(g(x)) - k relu(1 - sum_i |x_i - p_i| / radius), with a random network g and k so that y is -depth
    at p. Gradients point elsewhere, and a bound that is not sound has a place to be caught at.
    """

    def __init__(self, size: int, seed: int, *, floor: float = 0.1, radius: float = 0.05, depth: float = 0.02) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.point = torch.rand(size, generator=generator) * 1.6 - 0.8
        self.hidden = perceptron((size, 32, 32, 1), nn.ReLU, seed)
        self.floor, self.radius = floor, radius
        top = float(self.hidden(self.point[None]).relu()) + floor + depth
        self.height = top

    def forward(self, x: Tensor) -> Tensor:
        """[b, 1]."""
        away = ((x - self.point).relu() + (self.point - x).relu()).sum(-1, keepdim=True) / self.radius
        return self.floor + self.hidden(x).relu() - self.height * (1 - away).relu()
