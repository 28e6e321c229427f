import dataclasses

import pytest
import torch

from robolearn.data.normalizer import Normalizer
from robolearn.nets.mlp import MLPConfig
from robolearn.policies.diffusion import DiffusionConfig
from robolearn.policies.family import Chunks
from robolearn.policies.flow import FlowConfig
from robolearn.policies.flowmap import FlowMapConfig
from robolearn.policies.gan import GanConfig
from robolearn.policies.mixture import MixtureConfig
from robolearn.policies.policy import Policy, PolicyConfig
from robolearn.policies.registry import FAMILIES
from robolearn.policies.regression import RegressionConfig
from robolearn.policies.score import ScoreConfig
from robolearn.trust.scores.denoising import DENOISERS, denoising_draws, denoising_loss
from robolearn.trust.scores.dropout import dropout_members
from robolearn.trust.scores.samples import energy_disagreement

OBS = {"state": torch.linspace(-1, 1, 24).view(3, 2, 4)}
DENOISING = [DiffusionConfig(), ScoreConfig(), FlowConfig(), FlowMapConfig(), MixtureConfig(num_codes=4)]


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("family", DENOISING, ids=lambda cfg: type(cfg).__name__)
def test_rows_do_not_mix_and_their_mean_is_the_familys_loss(make_policy, family):
    """With equal numbers of draws the mean over rows is the loss of the batch of all rows and draws."""
    policy = make_policy(family)
    policy.normalizer.action_scale *= 2.0
    chunks, draws = torch.randn(3, 4, 2, generator=generator()), denoising_draws(policy, 5, generator=generator(1))
    losses = denoising_loss(policy, OBS, chunks, draws)
    alone = denoising_loss(policy, {"state": OBS["state"][1:2]}, chunks[1:2], draws)
    torch.testing.assert_close(losses[1:2], alone)
    cond, actions = policy.encode(OBS), policy.normalizer.normalize("action", chunks)
    rows = [x.repeat_interleave(5, dim=0) for x in (actions, cond, torch.ones(3, 4).bool())]
    player = DENOISERS[type(policy.family)]
    total, _ = policy.family.loss(
        Chunks(*rows), {k: v.repeat(3, *[1] * (v.dim() - 1)) for k, v in draws.items()}, player=player
    )
    torch.testing.assert_close(losses.mean(), total.detach())
    assert losses.std() > 0


def train(cfg, dropout=0.0, steps=300):
    """A policy whose actions are the observation's first number in [0, 1], along the whole chunk."""
    torch.manual_seed(0)
    shapes = {"state": (1,)}
    policy = Policy(
        PolicyConfig(cfg, MLPConfig(width=32, depth=1, dropout=dropout), shapes, 1, 1, 4),
        Normalizer({**shapes, "action": (1,)}),
    )
    optimizer, draws = torch.optim.Adam(policy.parameters(), lr=5e-3), generator()
    for _ in range(steps):
        state = torch.rand(64, 1, 1, generator=draws)
        arguments = state.expand(64, 4, 1), policy.encode({"state": state}), torch.ones(64, 4).bool()
        optimizer.zero_grad()
        policy.family.loss(Chunks(*arguments), policy.family.draws(64, generator=draws))[0].backward()
        optimizer.step()
    return policy.eval()


@pytest.mark.parametrize("cfg", [DiffusionConfig("eps"), FlowConfig()], ids=["diffusion", "flow"])
def test_chunks_that_the_expert_would_not_execute_are_badly_denoised(cfg):
    policy, state = train(cfg), torch.linspace(0, 1, 20).view(20, 1, 1)
    draws = denoising_draws(policy, 32, generator=generator(1))
    right = denoising_loss(policy, {"state": state}, state.expand(20, 4, 1), draws)
    wrong = denoising_loss(policy, {"state": state}, state.expand(20, 4, 1) + 0.5, draws)
    assert right.max() < wrong.min()


@pytest.mark.parametrize("family", [RegressionConfig(), GanConfig()], ids=lambda cfg: type(cfg).__name__)
def test_families_that_do_not_denoise_are_refused(make_policy, family):
    with pytest.raises(
        ValueError, match="does not denoise chunks; choose from diffusion, score, flow, flowmap, mixture"
    ):
        denoising_draws(make_policy(family), 2, generator=generator())


def test_denoisers_are_named_as_on_the_command_line():
    assert {kind.__name__.lower() for kind in DENOISERS} <= set(FAMILIES)


def with_dropout(make_policy, family):
    policy = make_policy(family)
    cfg = dataclasses.replace(policy.cfg, backbone=dataclasses.replace(policy.cfg.backbone, dropout=0.3))
    dropping = Policy(cfg, policy.normalizer).eval()
    dropping.load_state_dict(policy.state_dict())  # an old policy's weights fit
    return dropping


def test_samples_of_a_member_are_those_of_one_network(make_policy):
    """Equal noise, equal chunks within a member; other chunks in other members."""
    policy = with_dropout(make_policy, FlowConfig(steps=2))
    noise = policy.family.noise(1, generator=generator()).expand(3 * 4, -1, -1)
    chunks = dropout_members(policy, OBS, noise, 5, generator=generator(1))
    assert chunks.shape == (5, 3, 4, 4, 2)
    torch.testing.assert_close(chunks, chunks[:, :, :1].expand_as(chunks))
    assert (chunks[0] - chunks[1]).abs().max() > 1e-3
    assert (energy_disagreement(chunks) > 0).all()


def test_members_disagree_where_there_were_no_demonstrations():
    policy = train(RegressionConfig(), dropout=0.2)
    state = torch.tensor([0.3, 0.5, 0.7, 4.0, 5.0, -4.0]).view(6, 1, 1)
    noise = policy.family.noise(6, generator=generator())
    chunks = dropout_members(policy, {"state": state}, noise, 30, generator=generator(1))
    spread = chunks.var(0).mean((1, 2, 3))
    assert spread[3:].min() > 2 * spread[:3].max()


def test_a_policy_without_dropout_is_refused(make_policy):
    policy = make_policy(FlowConfig())
    with pytest.raises(ValueError, match="no dropout"):
        dropout_members(policy, OBS, policy.family.noise(3, generator=generator()), 2, generator=generator())
