import math

import pytest
import torch

from robolearn.policies.draws import draw_category
from robolearn.policies.family import Chunks
from robolearn.policies.gmm import GMM, GMMConfig

HORIZON, DIM, K = 3, 2, 2


def make(nets_giving, logits=(0.0, 0.0), std=0.1, **choices):
    """Two components with means -0.5 and 0.5, whatever the observation."""
    raw_std = math.log(math.expm1(std - 0.01))

    def net(x, cond):
        row = torch.tensor([*logits, *(-0.5,) * DIM, *(0.5,) * DIM, *(raw_std,) * (K * DIM)])
        return row.expand(len(x), HORIZON, -1)

    return GMM(GMMConfig(num_components=K, **choices), nets_giving(net), HORIZON, DIM)


def loss(family, actions, mask=None):
    mask = torch.ones(len(actions), HORIZON, dtype=torch.bool) if mask is None else mask
    return family.loss(Chunks(actions, torch.zeros(len(actions), 1, 1), mask), {})[0].item()


def test_the_loss_is_the_likelihood_of_the_whole_chunk(nets_giving):
    actions = torch.full((1, HORIZON, DIM), 0.4)
    normal = [torch.distributions.Normal(mean, 0.1).log_prob(actions).sum().item() for mean in (-0.5, 0.5)]
    weights = torch.tensor([0.3, 0.7])
    expected = -math.log(sum(w * math.exp(n) for w, n in zip(weights.tolist(), normal, strict=True)))
    family = make(nets_giving, tuple(weights.log().tolist()))
    assert loss(family, actions) == pytest.approx(expected / (HORIZON * DIM), rel=1e-5)
    # A mixture per step would find half a chunk of each mode just as likely.
    torn = actions.clone()
    torn[:, 0] = -0.4
    assert loss(family, torn) > loss(family, actions) + 1


def test_padded_steps_are_no_part_of_the_likelihood(nets_giving):
    family, actions = make(nets_giving), torch.full((1, HORIZON, DIM), 0.4)
    mask = torch.tensor([[True, True, False]])
    nonsense = actions.masked_fill(~mask[:, :, None], 9.0)
    assert loss(family, nonsense, mask) == loss(family, actions, mask)
    assert loss(family, nonsense) > loss(family, actions) + 1


@pytest.mark.parametrize("std_scale", [0.0, 1.0])
def test_samples_follow_the_mixture(nets_giving, std_scale):
    """Share of a component within 5 standard errors (error rate 6e-7)."""
    n = 20_000
    family = make(nets_giving, (math.log(0.2), math.log(0.8)), std_scale=std_scale)
    chunks = family.sample(torch.zeros(n, 1, 1), family.noise(n, generator=torch.Generator().manual_seed(0)))
    left = (chunks.mean((1, 2)) < 0).float().mean().item()
    assert left == pytest.approx(0.2, abs=5 * math.sqrt(0.2 * 0.8 / n))
    spread = (chunks - chunks.mean((1, 2), keepdim=True).sign() * 0.5).std().item()
    assert spread == pytest.approx(0.1 * std_scale, rel=0.03)


def test_choose_inverts_the_cumulative_sums():
    logits = torch.tensor([[0.1, 0.2, 0.7]]).log().expand(6, 3)
    uniform = torch.tensor([0.0, 0.05, 0.15, 0.25, 0.35, 1.0], dtype=torch.float64)
    noise = torch.special.ndtri(uniform).float()
    assert draw_category(logits, noise).tolist() == [0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize("noise", [-50.0, -6.0, 0.0, 6.0, 50.0])
def test_what_is_impossible_is_never_chosen(noise):
    """Not by noise so far out that nothing is left below or above it either."""
    logits = torch.randn(1000, 7, generator=torch.Generator().manual_seed(0))  # some sums end a last bit below 1
    logits[:, [0, 3, 6]] = -torch.inf
    drawn = draw_category(logits, torch.full((1000,), noise))
    assert set(drawn.tolist()) <= {1, 2, 4, 5}


def test_impossible_configurations():
    with pytest.raises(ValueError, match="num_components 0 must be at least 1"):
        GMMConfig(num_components=0)
