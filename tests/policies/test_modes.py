"""Demonstrations do one of two things: generative families keep both, regression averages."""

import pytest
import torch

from robolearn.data.normalizer import Normalizer
from robolearn.nets.lstm import LSTMConfig
from robolearn.nets.mlp import MLPConfig
from robolearn.nets.transformer import TransformerConfig
from robolearn.nets.unet import UNetConfig
from robolearn.policies.diffusion import DiffusionConfig
from robolearn.policies.flow import FlowConfig
from robolearn.policies.policy import Policy, PolicyConfig
from robolearn.policies.regression import RegressionConfig
from robolearn.types import Batch

SHAPES = {"state": (1,)}
BACKBONES = {
    "mlp": (MLPConfig(width=64, depth=2), 400),
    "unet": (UNetConfig(widths=(16, 32), num_groups=4, time_dim=32), 600),
    "transformer": (TransformerConfig(width=32, num_heads=2, encoder_depth=1, decoder_depth=2), 900),
    "lstm": (LSTMConfig(width=32), 600),
}
DEFAULTS = [DiffusionConfig(), FlowConfig()]
OTHERS = [
    DiffusionConfig(prediction="x0", sampler="ddim", steps=20),
    DiffusionConfig(prediction="eps", sampler="ddpm", steps=100),
    FlowConfig("logit-normal", "heun"),
    FlowConfig("beta", "euler", 20),
]
on_any_backbone = pytest.mark.parametrize(
    "backbone", ["mlp", *(pytest.param(b, marks=pytest.mark.slow) for b in ("unet", "transformer", "lstm"))]
)


def trained(family, backbone):
    cfg, steps = BACKBONES[backbone]
    torch.manual_seed(0)
    policy = Policy(PolicyConfig(family, cfg, SHAPES, 1, 1, 4), Normalizer({**SHAPES, "action": (1,)}))
    optimizer = torch.optim.AdamW(policy.parameters(), lr=3e-3, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    generator = torch.Generator().manual_seed(0)
    obs, mask = {"state": torch.zeros(128, 1, 1)}, torch.ones(128, 4, dtype=torch.bool)
    for _ in range(steps):
        sign = torch.randint(0, 2, (128, 1, 1), generator=generator) * 2.0 - 1
        batch = Batch(obs, sign.expand(128, 4, 1), mask)
        policy.loss(batch, policy.family.draws(128, generator=generator))[0].backward()
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
    return policy.eval()


@torch.no_grad()
def samples(policy, n=500):
    return policy.sample({"state": torch.zeros(1, 1, 1)}, n, generator=torch.Generator().manual_seed(1))[0]


@on_any_backbone
@pytest.mark.parametrize(
    "family", [*DEFAULTS, *(pytest.param(family, marks=pytest.mark.slow) for family in OTHERS)], ids=str
)
def test_generative_families_keep_both_modes(family, backbone):
    chunks = samples(trained(family, backbone))
    near = [((chunks - mode).abs() < 0.3).all(dim=2).all(dim=1).float().mean().item() for mode in (-1, 1)]
    assert sum(near) >= 0.9
    assert all(0.3 <= share <= 0.7 for share in near)


@on_any_backbone
def test_regression_averages(backbone):
    assert samples(trained(RegressionConfig(), backbone), n=2).abs().max() < 0.2
