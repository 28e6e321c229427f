"""What is verified of a policy of codes is what it does."""

import dataclasses

import pytest
import torch

from robolearn.policies.flow import FlowConfig
from robolearn.policies.mixture import MixtureConfig
from robolearn.policies.tokens import TokensConfig
from robolearn.verify.policy import codes_of

TOKENS = TokensConfig(num_bins=5, width=8, focal_gamma=0.0)
FAMILIES = {
    "tokens": TOKENS,
    "tempered": dataclasses.replace(TOKENS, temperature=0.5, min_code_probability=0.15),
    "mixture": MixtureConfig("plain", num_codes=4, num_observations=6, pairs=3, min_code_probability=0.2),
}


def spread(policy):
    """Weights so large that codes differ."""
    generator = torch.Generator().manual_seed(3)
    for parameter in policy.parameters():
        parameter.data += 0.1 * torch.randn(parameter.shape, generator=generator)
    if hasattr(policy.family, "tokenizer"):
        policy.family.tokenizer.centres.normal_(generator=generator)
    for key in policy.normalizer.keys:
        policy.normalizer.get_buffer(f"{key}_scale").fill_(2.0)
        policy.normalizer.get_buffer(f"{key}_centre").fill_(0.3)
    return policy


@pytest.mark.parametrize("frame", ["absolute", "relative"])
@pytest.mark.parametrize("name", FAMILIES)
def test_a_policy_draws_allowed_codes_and_acts_by_their_chunks(make_policy, name, frame):
    """200 noises at 6 observations of two keys and two steps: every chunk is that of an allowed code, and all occur."""
    policy = spread(make_policy(FAMILIES[name], obs_shapes={"pose": (3,), "grip": (1,)}, chunk_frame=frame))
    codes = codes_of(policy)
    obs = {
        key: torch.randn(6, 2, *shape, generator=torch.Generator().manual_seed(len(key)))
        for key, shape in policy.cfg.obs_shapes.items()
    }
    seen = torch.cat([obs["pose"], obs["grip"]], dim=2).flatten(1)
    allowed = codes.seen(seen.double(), seen.double()).allowed()
    chunks = torch.stack([codes.chunk(codes.features(seen), k) for k in range(allowed.shape[1])], dim=1)
    noise = policy.family.noise(6 * 200, generator=torch.Generator().manual_seed(1))
    acted = policy.act(obs, noise).unflatten(0, (6, 200))
    distance = (acted[:, :, None] - chunks[:, None]).abs().amax((3, 4))  # [6, 200, k]
    assert distance.amin(2).max() < 1e-5
    drawn = torch.zeros_like(allowed).scatter(1, distance.argmin(2), True)
    assert (allowed | ~drawn).all()
    if codes.floor:  # what is allowed is drawn often enough to be seen
        assert torch.equal(allowed, drawn)
        assert not allowed.all()


@pytest.mark.parametrize("frame", ["absolute", "relative"])
def test_bounds_of_a_policys_chunk_hold_it(make_policy, frame):
    policy = spread(make_policy(TOKENS, obs_horizon=1, chunk_frame=frame))
    codes, center = codes_of(policy), torch.randn(5, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    at = codes.seen(center - 0.01, center + 0.01)
    by = 0.02 * torch.rand(300, 1, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64) - 0.01
    for code in range(5):
        linear = at.head(code)
        chunks = (
            codes.chunk(codes.features((center + by).flatten(0, 1).float()), code).unflatten(0, (300, 5)).flatten(2)
        )
        expected = linear.middle + (linear.slope * by[:, :, None]).sum(3)
        assert ((chunks - expected).abs() <= linear.gap).all()
        assert linear.gap.max() < 0.15 * linear.slope.abs().sum(2).mul(0.01).max() + 1e-4


@pytest.mark.parametrize(
    ("family", "changes", "message"),
    [
        (FlowConfig(), {}, "codes are of the families tokens, variant bins, and mixture, variant plain"),
        (TokensConfig("residual-vq", num_codes=2, width=8), {}, "draws code after code; variant bins has a chunk"),
        (MixtureConfig(num_codes=4, num_observations=6, pairs=3), {}, "has no finite distribution; variant plain"),
        (TOKENS, {"obs_shapes": {"camera": (32, 32, 3)}}, "a policy of images cannot be verified; watch it by a gate"),
    ],
)
def test_policies_without_finitely_many_chunks_are_refused(make_policy, family, changes, message):
    with pytest.raises(ValueError, match=message):
        codes_of(make_policy(family, **changes))
