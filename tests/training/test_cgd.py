"""Competitive gradient descent against its dense closed form, on the game that gradient descent-ascent loses."""

import pytest
import torch

from robolearn.data.windows import Windows
from robolearn.policies.gan import GanConfig
from robolearn.training.cgd import CompetitiveGradient, competitive_steps, conjugate_gradients, gradient
from robolearn.training.config import TrainConfig
from robolearn.training.device import Processes
from robolearn.training.fit import Hooks, fit
from robolearn.training.state import TrainState


def steps_of(value, x, y, rate_x, rate_y, iterations=10):
    return competitive_steps(x, y, gradient(value, x), gradient(value, y), rate_x, rate_y, iterations)


def play(rule, steps=200, rate=0.2):
    """Distance from the equilibrium (0, 0) of f(x, y) = x y, from (1, 1)."""
    x, y = (torch.ones(1, requires_grad=True) for _ in range(2))
    for _ in range(steps):
        dx, dy = rule(x, y, rate)
        with torch.no_grad():
            x += dx
            y += dy
    return torch.cat([x, y]).norm().item()


def test_the_bilinear_game_converges_where_descent_and_ascent_diverge():
    """The factors per step are sqrt(1 / (1 + rate^2)) and sqrt(1 + rate^2)."""

    def competitive(x, y, rate):
        return steps_of((x * y).sum(), [x], [y], torch.full((1,), rate), torch.full((1,), rate))

    assert play(competitive) == pytest.approx(2**0.5 * 1.04**-100, rel=1e-3)
    assert play(lambda x, y, rate: (-rate * y, rate * x)) == pytest.approx(2**0.5 * 1.04**100, rel=1e-3)


def game(seed=0):
    """A smooth game of 4 and 3 numbers, held in two tensors each; value, players, and their mixed derivatives."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    x, y = [draw(2).requires_grad_(), draw(1, 2).requires_grad_()], [draw(3).requires_grad_()]
    weights = draw(4, 3)

    def value(flat_x, flat_y):
        return flat_x.tanh() @ weights @ flat_y + flat_x.square().sum() - (flat_y**4).sum()

    flat_x, flat_y = (torch.cat([p.detach().flatten() for p in part]) for part in (x, y))
    hessian = torch.autograd.functional.hessian(value, (flat_x, flat_y))
    gradients = torch.autograd.functional.jacobian(value, (flat_x, flat_y))
    result = value(torch.cat([p.flatten() for p in x]), y[0])
    return result, x, y, gradients, hessian[0][1], (draw(4).exp(), draw(3).exp())


@pytest.mark.parametrize("adaptive", [False, True])
def test_a_step_is_the_closed_form(adaptive):
    """Schaefer & Anandkumar 2019, eq. 4, in which both players' systems are solved."""
    value, x, y, (grad_x, grad_y), mixed, rates = game()
    a, b = rates if adaptive else (torch.full_like(rate, 0.3) for rate in rates)
    dense_x = -torch.linalg.solve((1 / a).diag() + mixed @ b.diag() @ mixed.T, grad_x + mixed @ (b * grad_y))
    dense_y = torch.linalg.solve((1 / b).diag() + mixed.T @ a.diag() @ mixed, grad_y - mixed.T @ (a * grad_x))
    step_x, step_y = steps_of(value, x, y, a, b)
    torch.testing.assert_close(step_x, dense_x)
    torch.testing.assert_close(step_y, dense_y)
    # The mutants: no anticipation, a wrong sign of the system, and too few iterations.
    assert not torch.allclose(-a * grad_x, dense_x, rtol=0.1)
    wrong = -torch.linalg.solve((1 / a).diag() - mixed @ b.diag() @ mixed.T, grad_x + mixed @ (b * grad_y))
    assert not torch.allclose(wrong, dense_x, rtol=0.1)
    assert not torch.allclose(steps_of(value, x, y, a, b, iterations=1)[0], dense_x, rtol=1e-2)


def test_conjugate_gradients_need_as_many_iterations_as_there_are_eigenvalues():
    generator = torch.Generator().manual_seed(0)
    factor = torch.randn(6, 2, generator=generator, dtype=torch.float64)
    matrix = torch.eye(6, dtype=torch.float64) + factor @ factor.T
    target = torch.randn(6, generator=generator, dtype=torch.float64)
    solved = conjugate_gradients(lambda u: matrix @ u, target, 3)
    torch.testing.assert_close(matrix @ solved, target)
    assert conjugate_gradients(lambda u: matrix @ u, torch.zeros_like(target), 3).abs().max() == 0


def test_rates_follow_the_squared_gradient():
    """Without a mixed derivative a step is that of RMSprop with bias correction."""
    x, y = torch.tensor([1.0, -2.0], requires_grad=True), torch.tensor([[3.0]], requires_grad=True)
    optimizer, average = CompetitiveGradient([x], [y], lr=0.1, beta=0.9), torch.zeros(2)
    for step in (1, 2):
        before, grad = x.detach().clone(), 2 * x.detach()
        optimizer.differentiate(x.square().sum() - y.square().sum())
        norm = optimizer.move()
        average = 0.9 * average + 0.1 * grad.square()
        rate = 0.1 / ((average / (1 - 0.9**step)).sqrt() + 1e-5)
        torch.testing.assert_close(x.detach(), before - rate * grad)
    assert y.abs().item() < 3  # climbs -y^2
    assert norm > 0


@pytest.fixture
def state(make_policy):
    def make(seed=0):
        cfg = TrainConfig(steps=4, batch_size=4, amp="off", seed=seed)
        return TrainState(make_policy(GanConfig("wgan-gp", "cgd"), seed=seed).train(), cfg)

    return make


def test_its_state_is_saved_and_restored(state):
    def step(one):
        noise = torch.randn(1, generator=one.generator)
        family = one.policy.family
        value = sum((p * noise).square().sum() for p in family.net.parameters())
        value = value * (1 + sum(p.square().sum() for p in family.critic.parameters()))
        one.optimizers["policy"].differentiate(value)
        one.optimizers["policy"].move()

    one, other = state(1), state(2)
    step(one)
    saved = {name: tensor.clone() for name, tensor in one.tensors().items()}
    step(one)
    other.restore(saved, 1)
    step(other)
    tensors = other.tensors()
    assert [name for name, tensor in one.tensors().items() if not torch.equal(tensor, tensors[name])] == []
    assert any(name.endswith("exp_avg_sq") for name in saved)


def test_several_processes_are_refused(state):
    processes = Processes(torch.device("cpu"))
    processes.count = 2
    windows = Windows({"state": torch.zeros(20, 4)}, torch.zeros(20, 2), [20], 2, 4)
    with pytest.raises(ValueError, match=r"one process; choose `family\.optimizer` adam"):
        fit(state(), windows, None, processes, Hooks())
