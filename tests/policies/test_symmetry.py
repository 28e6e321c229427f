"""f(g o) = g f(o) for a canonical policy of any family; augmentation shows every turn."""

import dataclasses

import pytest
import torch

from robolearn.data.normalizer import Normalizer
from robolearn.data.symmetry import AffineMap, Symmetry
from robolearn.nets.mlp import MLPConfig
from robolearn.policies.cvae import CVAEConfig
from robolearn.policies.flow import FlowConfig
from robolearn.policies.policy import Policy, PolicyConfig
from robolearn.policies.registry import FAMILIES
from robolearn.types import Batch

QUARTER = AffineMap(((0.0, -1.0), (1.0, 0.0)), (3.0, 1.0))
SYMMETRY = Symmetry({"state": QUARTER, "action": QUARTER}, order=4)


def make(family, use):
    torch.manual_seed(0)
    shapes = {"state": (2,)}
    cfg = PolicyConfig(family, MLPConfig(width=16, depth=1), shapes, 2, 2, 4, symmetry=SYMMETRY, symmetry_use=use)
    return Policy(cfg, Normalizer({**shapes, "action": (2,)})).eval()


def windows(size=40):
    generator = torch.Generator().manual_seed(0)
    obs = {"state": torch.randn(size, 2, 2, generator=generator)}
    return Batch(obs, torch.randn(size, 4, 2, generator=generator), torch.ones(size, 4, dtype=torch.bool))


def gap(policy, times):
    """Largest difference between the answer to turned observations and the turned answer."""
    obs, turns = windows().obs, torch.full((40,), times)
    noise = policy.family.noise(40, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        turned_first = policy.act(SYMMETRY.turn_all(obs, turns), noise)
        turned_last = SYMMETRY.turn("action", policy.act(obs, noise), turns)
    return (turned_first - turned_last).abs().max().item()


@pytest.mark.parametrize("family", FAMILIES)
def test_a_canonical_policy_is_equivariant(family):
    policy = make(FAMILIES[family](), "canonical")
    assert max(gap(policy, times) for times in (1, 2, 3)) < 1e-4
    assert gap(make(FAMILIES[family](), "ignore"), 1) > 0.01


def test_a_canonical_policy_learns_the_same_from_a_turned_batch():
    policy, batch = make(CVAEConfig(), "canonical"), windows()
    times = torch.arange(40) % 4
    turned = dataclasses.replace(
        batch, obs=SYMMETRY.turn_all(batch.obs, times), actions=SYMMETRY.turn("action", batch.actions, times)
    )
    draws = policy.draws(40, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(policy.loss(batch, draws)[0], policy.loss(turned, draws)[0])


def test_augmentation_turns_observation_and_action_alike():
    policy, batch = make(FlowConfig(), "augment"), windows()
    draws = policy.draws(40, generator=torch.Generator().manual_seed(0))
    turned = policy.turned(batch, draws)
    times = draws["symmetry.turn"]
    assert len(set(times.tolist())) == 4
    torch.testing.assert_close(turned.obs["state"], SYMMETRY.turn("state", batch.obs["state"], times))
    torch.testing.assert_close(turned.actions, SYMMETRY.turn("action", batch.actions, times))
    assert policy.turned(batch, policy.validation_draws(40, generator=torch.Generator())) is batch
    assert gap(policy, 1) > 0.01  # acting does not turn anything


def test_a_symmetry_is_saved(tmp_path):
    policy = make(FlowConfig(), "canonical")
    policy.save(tmp_path)
    assert Policy.load(tmp_path).cfg.symmetry == SYMMETRY
