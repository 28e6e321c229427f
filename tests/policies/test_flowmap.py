"""The average velocity of straight paths to a point is known; its identities must leave it where it is."""

import dataclasses

import pytest
import torch

from robolearn.config import from_json
from robolearn.data.normalizer import Normalizer
from robolearn.nets.mlp import MLPConfig
from robolearn.policies.flowmap import TIME_SCALE, FlowMap, FlowMapConfig
from robolearn.policies.policy import Policy, PolicyConfig
from robolearn.policies.registry import REGISTRY
from robolearn.types import Batch

POINT = 0.4
N = 4_000


@pytest.fixture
def exact(nets_giving):
    """Data N(0, s^2) with s = 0.5: the velocity field and its flow are linear in x."""

    def make(target, factor=1.0, steps=1):
        s = 0.5

        def scale(t):
            return ((1 - t) ** 2 + t**2 * s**2).sqrt()

        def net(x, cond, time):
            t, d = (time / TIME_SCALE)[:, :, None].unbind(1)
            t, d = t[..., None], d[..., None]
            velocity = (t * s**2 - (1 - t)) / scale(t) ** 2
            moved = (scale(t + d) / scale(t) - 1) / torch.where(d == 0, torch.ones_like(d), d)
            return factor * x * torch.where(d == 0, velocity, moved)

        return FlowMap(FlowMapConfig(target, steps=steps), nets_giving(net), 1, 1)

    return make


@pytest.mark.parametrize("target", ["meanflow", "shortcut"])
@pytest.mark.parametrize("steps", [1, 2, 5])
def test_the_exact_map_carries_noise_to_data(exact, target, steps):
    family = exact(target, steps=steps)
    noise = family.noise(N, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(family.sample(torch.zeros(N, 1, 1), noise), 0.5 * noise)


@pytest.mark.parametrize("target", ["meanflow", "shortcut"])
def test_the_exact_average_is_its_own_target(exact, target):
    """Long steps: what the identity asks for is, on average over the noisy velocity, what the map already says."""
    family = exact(target)
    draws = family.draws(N, generator=torch.Generator().manual_seed(0))
    start, length = draws["start"][:, 0], draws["length"][:, 0]
    x = torch.randn(N, 1, 1, generator=torch.Generator().manual_seed(1))
    velocity = family.average(x, start, torch.zeros_like(length), torch.zeros(N, 1, 1))
    asked = getattr(family, f"{target}_target")(x, velocity, start, length, torch.zeros(N, 1, 1))
    said = family.average(x, start, length, torch.zeros(N, 1, 1))
    rows = length > (0 if target == "meanflow" else 0.02)  # the shortest shortcut asks for velocities instead
    torch.testing.assert_close(asked[rows], said[rows], rtol=1e-3, atol=1e-3)
    wrong = exact(target, factor=1.2)
    asked = getattr(wrong, f"{target}_target")(x, velocity, start, length, torch.zeros(N, 1, 1))
    assert (asked[rows] - 1.2 * said[rows]).abs().max() > 0.05


@pytest.mark.parametrize("target", ["meanflow", "shortcut"])
def test_steps_stay_between_noise_and_data(exact, target):
    draws = exact(target).draws(N, generator=torch.Generator().manual_seed(0))
    start, length = draws["start"][:, 0], draws["length"][:, 0]
    assert start.min() >= 0
    assert (start + length).max() <= 1
    assert (length > 0).float().mean().item() == pytest.approx(0.5, abs=5 * 0.5 / N**0.5)
    if target == "shortcut":
        long = length > 0
        assert set(length[long].tolist()) == {0.5**k for k in range(7)}
        assert torch.equal((start[long] / length[long]).round(), start[long] / length[long])


@pytest.mark.parametrize(("long_share", "whole"), [(0.5, 0.1), (0.25, 0.1), (0.05, 0.05)])
def test_a_tenth_learns_the_pair_that_one_step_asks_for(nets_giving, long_share, whole):
    """Otherwise ends are uniform: of velocities, and of long steps, whose length then has mean 1/3."""
    cfg, n = FlowMapConfig(long_share=long_share), 40_000
    family = FlowMap(cfg, nets_giving(lambda x, cond, time: x), 1, 1)
    draws = family.draws(n, generator=torch.Generator().manual_seed(0))
    start, length = draws["start"][:, 0], draws["length"][:, 0]
    is_whole, is_velocity = (start == 0) & (length == 1), length == 0
    part = ~is_whole & ~is_velocity
    assert is_whole.float().mean().item() == pytest.approx(whole, abs=0.007)  # four standard errors
    assert is_velocity.float().mean().item() == pytest.approx(1 - long_share, abs=1e-4)
    assert start[is_velocity].mean().item() == pytest.approx(1 / 2, abs=0.01)
    assert start[is_velocity].var().item() == pytest.approx(1 / 12, abs=0.005)
    if part.any():
        assert length[part].mean().item() == pytest.approx(1 / 3, abs=0.02)
        assert start[part].mean().item() == pytest.approx(1 / 3, abs=0.02)


def test_the_paper_s_ends_hardly_ever_show_it(exact):
    family = exact("meanflow")
    family.cfg = dataclasses.replace(family.cfg, ends="logit-normal")
    draws = family.draws(N, generator=torch.Generator().manual_seed(0))
    assert ((draws["length"] > 0.9).float().mean()) < 0.005


def test_old_files_mean_the_paper_s_ends():
    old = {"type": "flowmap", "target": "meanflow", "long_share": 0.5, "steps": 2}
    assert from_json(FlowMapConfig, old, REGISTRY) == FlowMapConfig(ends="logit-normal")


def test_impossible_configurations():
    with pytest.raises(ValueError, match=r"long_share 1.0 must be in \(0, 1\)"):
        FlowMapConfig(long_share=1.0)


def trained(ends, seed=0, steps=2_500):
    """On a toy of four modes, 2 x 2 chunks of constant sign per number with a spread of 0.05."""
    torch.manual_seed(seed)
    shapes = {"state": (1,)}
    cfg = PolicyConfig(FlowMapConfig(ends=ends), MLPConfig(width=64, depth=2), shapes, 2, 1, 2)
    policy = Policy(cfg, Normalizer({**shapes, "action": (2,)}))
    optimizer = torch.optim.AdamW(policy.parameters(), lr=1e-3, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    generator, obs = torch.Generator().manual_seed(seed), {"state": torch.zeros(256, 1, 1)}
    for _ in range(steps):
        sign = torch.randint(0, 2, (256, 1, 2), generator=generator) * 1.6 - 0.8
        actions = sign + 0.05 * torch.randn(256, 2, 2, generator=generator)
        batch = Batch(obs, actions, torch.ones(256, 2, dtype=torch.bool))
        policy.loss(batch, policy.family.draws(256, generator=generator))[0].backward()
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
    return policy


@torch.no_grad()
def valid(policy, steps):
    """Share of chunks within 0.2 of a mode."""
    policy.family.reconfigure(steps=steps)
    chunks = policy.sample({"state": torch.zeros(1, 1, 1)}, 4_000, generator=torch.Generator().manual_seed(9))[0]
    near = ((chunks.abs() - 0.8).abs() < 0.2).all(2).all(1) & (chunks[:, 0].sign() == chunks[:, 1].sign()).all(1)
    return near.float().mean().item()


@pytest.mark.slow
def test_seeing_the_whole_way_doubles_what_one_step_reaches():
    """0.72 against 0.33."""
    shares = {ends: valid(trained(ends), steps=1) for ends in ("uniform", "logit-normal")}
    assert shares["uniform"] > shares["logit-normal"] + 0.2
