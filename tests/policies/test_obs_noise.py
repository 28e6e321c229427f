"""Noise on observations in training: what gets it, how much of it, and what it is for."""

import dataclasses

import pytest
import torch

from robolearn.data.normalizer import Normalizer
from robolearn.nets.mlp import MLPConfig
from robolearn.policies.obs_noise import NOISE
from robolearn.policies.policy import Policy, PolicyConfig
from robolearn.policies.regression import RegressionConfig
from robolearn.types import Batch

SHAPES = {"pose": (3,), "image": (16, 16, 3), "speed": (2,)}
STATE_DIM = 6  # of pose two numbers and the sine and cosine of an angle, and two of speed


def batch_of(n, seed=0):
    generator = torch.Generator().manual_seed(seed)
    obs = {
        "pose": torch.rand(n, 2, 3, generator=generator),
        "image": torch.randint(256, (n, 2, 16, 16, 3), generator=generator, dtype=torch.uint8),
        "speed": torch.rand(n, 2, 2, generator=generator),
    }
    return Batch(obs, torch.rand(n, 4, 2, generator=generator), torch.ones(n, 4, dtype=torch.bool))


@pytest.fixture
def noisy(make_policy):
    """A policy that sees numbers, an angle and images, and can be told decided actions."""

    def make(**options):
        plain = make_policy(RegressionConfig(), obs_shapes=SHAPES, prefix_horizon=2)
        cfg = dataclasses.replace(plain.cfg, angles={"pose": (2,)}, **options)
        torch.manual_seed(0)
        return Policy(cfg, Normalizer({**SHAPES, "action": (2,)})).eval()

    return make


def draws_of(policy, n, seed=0):
    return policy.draws(n, generator=torch.Generator().manual_seed(seed))


def test_numbers_get_noise_of_the_given_spread_and_nothing_else_does(noisy):
    policy, batch = noisy(obs_noise=0.1), batch_of(4000)
    draws = draws_of(policy, 4000)
    with torch.no_grad():
        added = policy.chunks(batch, draws).cond - policy.chunks(batch, draws | {NOISE: 0 * draws[NOISE]}).cond
    state, rest = added.split([STATE_DIM, added.shape[2] - STATE_DIM], dim=2)
    assert rest.abs().max() == 0, "neither images nor decided actions"
    # 4000 draws: the standard deviation is known to 1.2 %, the mean to 0.0016; four of these either way.
    torch.testing.assert_close(state.std(0), torch.full((2, STATE_DIM), 0.1), rtol=0.05, atol=0.0)
    assert state.mean(0).abs().max() < 0.0064
    both = torch.corrcoef(state.flatten(1).T).fill_diagonal_(0.0)
    assert both.abs().max() < 0.08, "each number of each step of the history has noise of its own"


def test_the_loss_is_that_of_the_noisy_observations(make_policy):
    policy = make_policy(RegressionConfig(), obs_shapes={"state": (4,)})
    policy = Policy(dataclasses.replace(policy.cfg, obs_noise=0.5), policy.normalizer).eval()
    obs = torch.rand(8, 2, 4)
    batch = Batch({"state": obs}, torch.rand(8, 4, 2), torch.ones(8, 4, dtype=torch.bool))
    draws = draws_of(policy, 8)
    there = policy.normalizer.normalize("state", obs) + draws[NOISE]
    moved = dataclasses.replace(batch, obs={"state": policy.normalizer.unnormalize("state", there)})
    without = {key: value for key, value in draws.items() if key != NOISE}
    torch.testing.assert_close(policy.loss(batch, draws)[0], policy.loss(moved, without)[0])
    assert not torch.allclose(policy.loss(batch, draws)[0], policy.loss(batch, without)[0])


def test_acting_and_held_out_windows_are_without_noise(noisy):
    loud, quiet = noisy(obs_noise=5.0), noisy()
    batch = batch_of(3)
    noise = loud.family.noise(3, generator=torch.Generator().manual_seed(0))
    assert torch.equal(loud.act(batch.obs, noise), quiet.act(batch.obs, noise))
    assert NOISE not in loud.validation_draws(3, generator=torch.Generator().manual_seed(0))


def test_without_it_a_training_draws_what_it_always_did(noisy):
    assert NOISE not in draws_of(noisy(), 3)


def test_a_policy_that_could_copy_its_motion_goes_by_the_task():
    """Demonstrations go right where two numbers have the same sign, and move that way already, at a low speed.

    The speed is the easier of the two to read, as the action is a multiple of it. Without noise the policy goes on
    whichever way it moves; with noise the speed cannot be made out, and it looks at the numbers.
    """

    def answers(std):
        torch.manual_seed(0)
        shapes = {"state": (3,)}
        cfg = PolicyConfig(RegressionConfig(), MLPConfig(32, 1), shapes, 1, 1, 1, obs_noise=std)
        policy = Policy(cfg, Normalizer({**shapes, "action": (1,)}))
        optimizer = torch.optim.AdamW(policy.parameters(), lr=5e-3, fused=True)
        generator = torch.Generator().manual_seed(0)
        for _ in range(600):
            numbers = 2 * torch.rand(64, 1, 2, generator=generator) - 1
            way = numbers.prod(2, keepdim=True).sign()
            batch = Batch({"state": torch.cat([numbers, 0.1 * way], 2)}, way, torch.ones(64, 1, dtype=torch.bool))
            loss, _ = policy.loss(batch, policy.draws(64, generator=generator))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        pushed_back = {"state": torch.tensor([[[0.6, 0.6, -0.1]], [[-0.6, 0.6, 0.1]]])}
        with torch.no_grad():
            right, left = policy.eval().act(pushed_back, torch.zeros(2, 1, 1)).flatten().tolist()
        return right, left

    right, left = answers(0.2)
    assert right > 0.5
    assert left < -0.5
    right, left = answers(0.0)
    assert right < 0
    assert left > 0
