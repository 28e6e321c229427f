"""The four controllers from elsewhere: nothing that a precise integrator reaches is outside their tubes."""

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from benchmarks.verify.closed_loop import SYSTEMS
from robolearn.verify.loop.proof import verify_loop
from robolearn.verify.loop.tube import Effort, tubes

TIMES = np.arange(1, 9) / 8  # of a period
SHARES = {"single_pendulum": 1.0, "acc": 1.0, "unicycle": 0.3, "double_pendulum": 0.1}
"""Of each side of the initial box: how much is followed without splitting."""


def followed(loop, states):
    """States [t, n] at the times of one period, of each initial state, with the control of a single replay."""
    for state in states:
        control = loop.controller.replay(torch.tensor(loop.reads(state), dtype=torch.float64)).numpy()
        solved = solve_ivp(
            lambda _, x, u=control: np.array(loop.dynamics(x, u), float),
            (0, loop.period),
            state,
            method="DOP853",
            rtol=1e-11,
            atol=1e-11,
            t_eval=TIMES * loop.period,
        )
        yield solved.y.T


@pytest.mark.parametrize(
    "name", ["single_pendulum", *(pytest.param(name, marks=pytest.mark.slow) for name in SYSTEMS if name[0] != "s")]
)
def test_no_trajectory_leaves_the_tube(name, outside):
    system = SYSTEMS[name]
    loop = system.loop(outside / "closed_loop" / f"{name}.onnx", exact=False)
    lower, upper = system.box.lower, system.box.upper
    middle, half = (lower + upper) / 2, (upper - lower) / 2 * SHARES[name]
    result = tubes(loop, (middle - half)[None], (middle + half)[None], system.requirements, Effort())
    assert result.reached.tolist() == [system.periods]
    rng = np.random.default_rng(0)
    signs = np.concatenate([rng.uniform(-1, 1, (4, len(lower))), rng.choice([-1.0, 1.0], (4, len(lower)))])
    states = middle.numpy() + signs * half.numpy()
    for period in range(system.periods):
        path = np.stack(list(followed(loop, states)))  # [b, t, n]
        assert (path >= result.lower[0, period].numpy() - 1e-9).all()
        assert (path <= result.upper[0, period].numpy() + 1e-9).all()
        states = path[:, -1]


@pytest.mark.parametrize(
    "name", ["single_pendulum", *(pytest.param(n, marks=pytest.mark.slow) for n in ("acc", "unicycle"))]
)
def test_what_others_prove_is_proved(name, outside):
    """As the competition asks, of the network in real numbers."""
    system = SYSTEMS[name]
    loop = system.loop(outside / "closed_loop" / f"{name}.onnx", exact=True)
    verdict = verify_loop(loop, system.box, system.requirements, seconds=600.0)
    assert verdict.answer == "proved"


def test_what_is_too_much_to_ask_is_violated(outside):
    """The pendulum reaches an angle below 0.99 only after 0.5 s."""
    system = SYSTEMS["single_pendulum"]
    loop = system.loop(outside / "closed_loop" / "single_pendulum.onnx", exact=False)
    sooner = [type(system.requirements[0])(lambda state: [0.99 - state[0]], 0.4, 1.0)]
    verdict = verify_loop(loop, system.box, sooner, seconds=600.0)
    assert verdict.answer == "violated"
    assert system.box.contains(verdict.witness)
    state = verdict.witness.numpy()[None]
    for _ in range(8):
        state = np.stack(list(followed(loop, state)))[:, -1]
    assert state[0, 0] > 0.99
