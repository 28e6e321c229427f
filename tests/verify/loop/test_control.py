"""The network's answer to a set of states: every state's control has its place in the models."""

import numpy as np
import pytest
import torch

from robolearn.errors import UserError
from robolearn.verify.loop.basis import Basis
from robolearn.verify.loop.control import sampled
from robolearn.verify.loop.symbols import initial_states
from robolearn.verify.loop.system import ClosedLoop
from robolearn.verify.network import Network


def states_of(basis, rng, random_model, count, *, size=0.6):
    """Sets without time or radius, long and thin: all of them share most of their monomials."""
    models = [random_model(basis, rng, boxes=4, size=size, radius=0.0) for _ in range(count)]
    for x in models:
        x.coefficients[..., 1:] = 0
    return [models[0], *(x * 0.2 + models[0] * float(rng.normal()) for x in models[1:])]


def reads_angles(state):
    return [np.sin(state[0]), np.cos(state[0]), state[1] - state[0], 30.0]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("seed", range(4))
def test_controls_of_states_are_held(seed, dtype, network, random_model, points):
    rng, basis = np.random.default_rng(seed), Basis(variables=2, order=2, symbols=6, degree=2)
    controller = network((4, 16, 16, 2), seed=seed, dtype=dtype)
    loop = ClosedLoop(lambda s, u: s, controller, 0.1, reads_angles)
    states = states_of(basis, rng, random_model, 2)
    controls = sampled(loop, states)
    for ends in (False, True):
        where = points(basis, rng, 3000, ends=ends)
        state = np.stack([where.values(x) for x in states])  # [n, b, p]
        for box in range(4):
            numbers = np.broadcast_arrays(*reads_angles(state[:, box]))
            read = torch.from_numpy(np.stack(numbers, -1)).to(dtype)
            with torch.no_grad():
                given = controller.batched(read).double().numpy()
            for i, control in enumerate(controls):
                off = np.abs(where.values(control)[box] - given[:, i])
                assert (off <= control.radius[box].item() + 1e-13).all()


def test_thin_sets_know_their_control_better_than_their_boxes(network, random_model):
    """Where all states move together, most preactivations of the box never occur."""
    rng, basis = np.random.default_rng(0), Basis(variables=2, order=1, symbols=6, degree=1)
    loop = ClosedLoop(lambda s, u: s, network((2, 32, 32, 1), gain=3.0), 0.1)
    x = states_of(basis, rng, random_model, 1, size=1.0)[0]
    y = random_model(basis, rng, boxes=4, size=1.0, radius=0.0)
    y.coefficients[..., 1:] = 0
    thin = [x, x * -0.9 + y * 0.02]
    lower, upper = (torch.stack(side, 1) for side in zip(*(z.bounds() for z in thin), strict=True))
    box = initial_states(basis, lower, upper)
    assert (sampled(loop, thin)[0].radius < 0.7 * sampled(loop, box)[0].radius).all()


def test_a_network_in_float32_reads_rounded_numbers(random_model):
    """2^24 (x - 1) of numbers near 1: what float32 makes of them is whole numbers, halves below 1."""
    function = lambda x: (x - 1.0) * 2.0**24  # noqa: E731
    basis = Basis(variables=1, order=1, symbols=4, degree=1)
    state = random_model(basis, np.random.default_rng(0), boxes=1, size=0.0, center=1 + 0.9 * 2**-24, radius=0.0)
    radii = []
    for dtype, exact in ((torch.float32, False), (torch.float32, True), (torch.float64, False)):
        loop = ClosedLoop(lambda s, u: s, Network(function, 1, 1, dtype), 0.1, exact=exact)
        control = sampled(loop, [state])[0]
        given = float(loop.controller.batched(torch.tensor([[1 + 0.9 * 2**-24]], dtype=torch.float64).to(dtype)))
        if not exact:
            assert abs(float(control.center) - given) <= float(control.radius)
        radii.append(float(control.radius))
    assert radii[0] > 0.9
    assert max(radii[1:]) < 1e-5


def test_a_network_that_rounds_nothing_still_reads_rounded_numbers(random_model):
    """A ReLU gives what it reads: 1 + 0.9 2^-24 becomes 1."""
    basis, value = Basis(variables=1, order=1, symbols=4, degree=1), 1 + 0.9 * 2**-24
    state = random_model(basis, np.random.default_rng(0), boxes=1, size=0.0, center=value, radius=0.0)
    loop = ClosedLoop(lambda s, u: s, Network(torch.relu, 1, 1, torch.float32), 0.1)
    control = sampled(loop, [state])[0]
    assert float(loop.controller.batched(torch.tensor([[value]]))) == 1.0
    assert 0.9 * 2**-24 <= float(control.radius) < 2**-22


def test_what_is_only_known_up_to_a_radius_is_read_so(random_model):
    """A ReLU of numbers between -0.6 and 0.4 of which no more is known."""
    basis = Basis(variables=1, order=1, symbols=4, degree=1)
    state = random_model(basis, np.random.default_rng(0), boxes=1, size=0.0, center=-0.1, radius=0.0)
    state = state.widened(torch.full((1,), 0.5, dtype=torch.float64))
    control = sampled(ClosedLoop(lambda s, u: s, Network(torch.relu, 1, 1, torch.float64), 0.1), [state])[0]
    least, most = (float(end) for end in control.bounds())
    assert least <= 0
    assert most >= 0.4


def test_what_is_read_has_to_fit(network, basis, random_model):
    loop = ClosedLoop(lambda s, u: s, network((3, 4, 1)), 0.1)
    with pytest.raises(UserError, match="the loop reads 1 numbers of its state, the network has 3 inputs"):
        sampled(loop, [random_model(basis, np.random.default_rng(0))])
