"""Competitive gradient descent: two players step to the equilibrium of their game's bilinear approximation.

Gradient descent-ascent lets each player move as if the other stood still, and circles or diverges even on
f(x, y) = x y. Here each step anticipates the other's (Schaefer & Anandkumar 2019, arXiv:1905.12103; rates per
coordinate after Schaefer, Zheng & Anandkumar 2020, arXiv:1910.05852).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from robolearn.training.moments import OptimizerState

ITERATIONS = 10  # of conjugate gradients


class CompetitiveGradient:
    """One group of parameters descends a value, the other climbs it.

    A coordinate's rate is lr / (sqrt(v) + eps), with v the moving average of its squared gradient, as in ACGD.

    Args:
        descending: Parameters x.
        ascending: Parameters y.
        lr: Learning rate of both.
        beta: Decay of the moving average.
        eps: Keeps rates finite.

    Attributes:
        lr: Learning rate of the next step.
    """

    slots = ("step", "exp_avg_sq")

    def __init__(
        self,
        descending: Iterable[Tensor],
        ascending: Iterable[Tensor],
        *,
        lr: float,
        beta: float = 0.99,
        eps: float = 1e-5,
    ):
        self.lr: float | Tensor = lr
        self.sides, self.beta, self.eps = (list(descending), list(ascending)), beta, eps
        self._state: dict[Tensor, dict[str, Tensor]] = {
            parameter: dict(zip(self.slots, (torch.zeros(()), torch.zeros_like(parameter.detach())), strict=True))
            for side in self.sides
            for parameter in side
        }

    def differentiate(self, value: Float[Tensor, ""]) -> None:
        """Find the step of both players.

        Args:
            value: With its graph, twice differentiable.
        """
        x, y = self.sides
        grad_x, grad_y = gradient(value, x), gradient(value, y)
        rate_x, rate_y = self._rates(x, grad_x), self._rates(y, grad_y)
        self._steps = competitive_steps(x, y, grad_x, grad_y, rate_x, rate_y)
        self._norm = torch.cat([grad_x, grad_y]).detach().norm()

    @torch.no_grad()
    def move(self) -> Float[Tensor, ""]:
        """Make the step that was found; return the norm of the joint gradient."""
        for parameters, step in zip(self.sides, self._steps, strict=True):
            torch._foreach_add_(parameters, split(step, parameters))
        return self._norm

    @property
    def shapes(self) -> list[torch.Size]:
        """Of all parameters, in the order in which a checkpoint numbers them."""
        return [parameter.shape for parameter in self._state]

    def state(self) -> OptimizerState:
        """What is kept of each parameter: the count of its steps, and the moving average."""
        return dict(enumerate(self._state.values()))

    def restore(self, state: OptimizerState) -> None:
        """Take over what `state` returned. What has no entry was never moved: its average is 0."""
        for number, slots in enumerate(self._state.values()):
            for slot, ours in slots.items():
                ours.copy_(state[number][slot]) if number in state else ours.zero_()

    @torch.no_grad()
    def _rates(self, parameters: Sequence[Tensor], grad: Float[Tensor, " p"]) -> Float[Tensor, " p"]:
        """Follow the squared gradient; return the rate of each coordinate."""
        rates = []
        for parameter, part in zip(parameters, split(grad, parameters), strict=True):
            step, average = self._state[parameter].values()
            step += 1
            average.lerp_(part.square(), 1 - self.beta)
            squared = average / (1 - self.beta ** step.item())
            rates.append((self.lr / (squared.sqrt() + self.eps)).flatten())
        return torch.cat(rates)


def competitive_steps(
    x: Sequence[Tensor],
    y: Sequence[Tensor],
    grad_x: Float[Tensor, " p"],
    grad_y: Float[Tensor, " q"],
    rate_x: Float[Tensor, " p"],
    rate_y: Float[Tensor, " q"],
    iterations: int = ITERATIONS,
) -> tuple[Float[Tensor, " p"], Float[Tensor, " q"]]:
    """Steps of x, which descends f, and of y, which climbs it.

        dx = -(A^-1 + Dxy B Dyx)^-1 (grad_x f + Dxy B grad_y f),   dy = B (grad_y f + Dyx dx)

    with A and B the rates as diagonal matrices: Schaefer & Anandkumar 2019, eq. 4, where both are eta I. ``dy`` is
    the best answer to ``dx`` within the approximation, so that one system is solved and not two.

    Args:
        x: Descends.
        y: Climbs.
        grad_x: Gradient of f with its graph, flattened.
        grad_y: The same of y.
        rate_x: Learning rate of each coordinate, above 0.
        rate_y: The same of y.
        iterations: Of conjugate gradients at most; each takes two products with the mixed derivatives.
    """
    root = rate_x.sqrt()

    def mixed_xy(v: Tensor) -> Tensor:
        return gradient(grad_y @ v, x, again=False)

    def mixed_yx(v: Tensor) -> Tensor:
        return gradient(grad_x @ v, y, again=False)

    def system(u: Tensor) -> Tensor:
        return u + root * mixed_xy(rate_y * mixed_yx(root * u))

    target = root * (grad_x.detach() + mixed_xy(rate_y * grad_y.detach()))
    step_x = -root * conjugate_gradients(system, target, iterations)
    return step_x, rate_y * (grad_y.detach() + mixed_yx(step_x))


def conjugate_gradients(
    system: Callable[[Tensor], Tensor], target: Float[Tensor, " p"], iterations: int
) -> Float[Tensor, " p"]:
    """Solve system(u) = target for a symmetric positive definite system (Hestenes & Stiefel 1952)."""
    solution, residual = torch.zeros_like(target), target
    direction, squared = residual, residual @ residual
    smallest = 1e-12 * squared
    for _ in range(iterations):
        if squared <= smallest:
            break
        image = system(direction)
        length = squared / (direction @ image)
        solution = solution + length * direction
        residual = residual - length * image
        before, squared = squared, residual @ residual
        direction = residual + squared / before * direction
    return solution


def gradient(value: Tensor, parameters: Sequence[Tensor], *, again: bool = True) -> Float[Tensor, " p"]:
    """Gradient as one vector, with its graph if it is differentiated ``again``; the value's graph is kept."""
    parts = torch.autograd.grad(value, parameters, create_graph=again, retain_graph=True, materialize_grads=True)
    return torch.cat([part.flatten() for part in parts])


def split(vector: Float[Tensor, " p"], parameters: Sequence[Tensor]) -> list[Tensor]:
    """Cut a vector into the shapes of the parameters."""
    parts = vector.split([parameter.numel() for parameter in parameters])
    return [part.view_as(parameter) for part, parameter in zip(parts, parameters, strict=True)]
