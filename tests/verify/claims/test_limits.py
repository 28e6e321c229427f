"""The door and the first claim: bounds hold what policies do, and limits are proved exactly where they hold."""

import math

import pytest
import torch

from robolearn.policies.flow import FlowConfig
from robolearn.policies.gmm import GMMConfig
from robolearn.policies.gp import GPConfig
from robolearn.policies.mixture import MixtureConfig
from robolearn.policies.tokens import TokensConfig
from robolearn.verify.claims.limits import Limits
from robolearn.verify.claims.search import decide_all
from robolearn.verify.policy import noise_radius, noise_shape, observations, subject_of
from tests.verify.claims.conftest import FAMILIES

STEPS, SEEN = 3, 8


def boxes(subject, count, radius, noise):
    generator = torch.Generator().manual_seed(0)
    center = torch.randn(count, subject.size, generator=generator, dtype=torch.float64)
    center[:, SEEN:] = 0
    by = torch.full_like(center, radius)
    by[:, SEEN:] = noise
    return center - by, center + by


def acted(policy, x):
    """What the policy itself does: with the noise of the input, or with 50 noises of its own where it picks codes."""
    shape = noise_shape(policy)
    obs = observations(policy, x[:, :SEEN].float())
    if x.shape[1] > SEEN or (shape == (0,) and not hasattr(policy.family.cfg, "min_code_probability")):
        rows = x[:, SEEN:].float()
        given = policy.family.noise_shape or policy.family.chunk_shape if policy.family.noise_shape != (0,) else (0,)
        noise = rows.unflatten(1, given) if x.shape[1] > SEEN else torch.zeros(len(x), *given)
        return policy.act(obs, noise)[:, None, :STEPS].flatten(2)
    noise = policy.family.noise(50 * len(x), generator=torch.Generator().manual_seed(1))
    return policy.act(obs, noise).unflatten(0, (len(x), 50))[:, :, :STEPS].flatten(2)


@pytest.mark.parametrize("name", FAMILIES)
def test_bounds_hold_what_the_policy_does(trained, name):
    """60 points of 4 boxes, corners among them, by `Policy.act` itself: each chunk is one that may be drawn."""
    policy = trained(name)
    subject = subject_of(policy, STEPS)
    low, high = boxes(subject, 4, 0.005, 0.01)
    chunks = subject.enclose(low, high)
    share = torch.rand(60, *low.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    share[:20] = share[:20].round()
    points = low + share * (high - low)
    for i in range(4):
        chunk = acted(policy, points[:, i])  # [60, noises, m]
        inside = (chunk[:, :, None] >= chunks.lower[i]) & (chunk[:, :, None] <= chunks.upper[i])
        assert (inside.all(3) & (chunks.probability[i] > 0)).any(2).all()
        own = subject.act(points[:, i])
        assert (own.probability <= chunks.probability[i]).all()
        nearest = (chunk[:, :, None] - own.lower[:, None]).abs().amax(3)
        assert torch.where(own.probability[:, None] > 0, nearest, math.inf).amin(2).max() < 1e-5
    assert (chunks.upper - chunks.lower).mean() < 0.5


def test_the_latent_box_holds_the_share_that_it_says():
    noise = torch.randn(200_000, 3, generator=torch.Generator().manual_seed(0))
    inside = (noise.abs() <= noise_radius(3, 0.9)).all(1).double().mean()
    assert abs(float(inside) - 0.9) < 4 * math.sqrt(0.09 / 200_000)
    assert noise_radius(0, 0.9) == 0


@pytest.mark.parametrize("name", ["regression", "tokens, likely"])
def test_limits_are_proved_where_they_hold_and_falsified_where_not(trained, name):
    """A little beyond all sampled actions they are proved; a little within, a replayed input violates them."""
    policy = trained(name)
    subject = subject_of(policy, STEPS)
    low, high = boxes(subject, 3, 0.02, 0.0)
    share = torch.rand(500, *low.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    chunks = subject.act((low + share * (high - low)).flatten(0, 1))
    drawn = chunks.lower[chunks.probability > 0].unflatten(1, (STEPS, 2)).flatten(0, 1)
    least, most = drawn.amin(0), drawn.amax(0)
    width = most - least
    proved = decide_all(subject, Limits(least - 0.1 * width, most + 0.1 * width, STEPS), low, high, seconds=20.0)
    assert [one.answer for one in proved] == ["proved"] * 3
    limits = Limits(least + 0.01 * width, most - 0.01 * width, STEPS)
    outcomes = decide_all(subject, limits, low, high, seconds=5.0)
    assert "falsified" in [one.answer for one in outcomes]
    for row, one in enumerate(outcomes):
        assert (one.witness is not None) == (one.answer == "falsified")
        if one.witness is not None:
            assert (low[row] <= one.witness).all()
            assert (one.witness <= high[row]).all()
            assert limits.margin(subject.act(one.witness[None]), torch.tensor([row])) < 0


def test_what_so_many_boxes_proved_they_prove_again(trained):
    subject = subject_of(trained("regression"), STEPS)
    low, high = boxes(subject, 1, 0.05, 0.0)
    share = torch.rand(2000, subject.size, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    share[:1000] = share[:1000].round()
    y = subject.act(low + share * (high - low)).upper[:, 0].unflatten(1, (STEPS, 2)).flatten(0, 1)
    first = subject.enclose(low, high)  # limits between what occurs and what these bounds show
    least, most = (
        first.lower.unflatten(2, (STEPS, 2)).amin((0, 1, 2)),
        first.upper.unflatten(2, (STEPS, 2)).amax((0, 1, 2)),
    )
    claim = Limits(0.1 * y.amin(0) + 0.9 * least, 0.1 * y.amax(0) + 0.9 * most, STEPS)
    (once,) = decide_all(subject, claim, low, high, seconds=60.0)
    assert once.answer == "proved"
    assert once.boxes > 1
    (again,) = decide_all(subject, claim, low, high, seconds=math.inf, most_boxes=[once.boxes])
    assert (again.answer, again.bound, again.boxes) == ("proved", once.bound, once.boxes)
    (fewer,) = decide_all(subject, claim, low, high, seconds=math.inf, most_boxes=[1])
    assert fewer.answer == "open"


@pytest.mark.parametrize(
    ("family", "changes", "message"),
    [
        (FlowConfig(), {}, "asks its network 20 times .* a gate or a safety set"),
        (GMMConfig(), {}, "no bounds; watch it by a gate or a safety set"),
        (GPConfig(), {}, "no bounds; watch it by a gate or a safety set"),
        (
            MixtureConfig(num_codes=4, num_observations=6, pairs=3),
            {},
            "no finite distribution; .* a gate or a safety set",
        ),
        (TokensConfig("residual-vq", num_codes=2, width=8), {}, "draws code after code; .* a gate or a safety set"),
        (TokensConfig(), {"obs_shapes": {"camera": (32, 32, 3)}}, "of images cannot be verified; watch it by a gate"),
    ],
)
def test_policies_without_a_verifiable_path_are_refused(make_policy, family, changes, message):
    with pytest.raises(ValueError, match=message):
        subject_of(make_policy(family, **changes), STEPS)


@pytest.mark.parametrize(("low", "high"), [(1.0, 0.0), (math.nan, 1.0)])
def test_limits_that_are_none_are_refused(low, high):
    with pytest.raises(ValueError, match="a lower one is above its upper, or is none"):
        Limits(torch.tensor([low]), torch.tensor([high]), STEPS)


def test_both_ends_of_bounds_have_to_be_within_limits():
    limits, row = Limits(torch.tensor([0.0]), torch.tensor([1.0]), 1), torch.tensor([0])
    for low, high, margin in ((0.2, 1.5, -0.5), (-0.25, 0.5, -0.25), (0.25, 0.5, 0.25)):
        bounds = (torch.tensor([[[end]]], dtype=torch.float64) for end in (low, high))
        assert float(limits.margins(*bounds, row)) == margin
