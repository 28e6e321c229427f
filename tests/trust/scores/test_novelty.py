import pytest
import torch

from robolearn.trust.scores.familiarity import neighbor_distance
from robolearn.trust.scores.novelty import OneStepFlow, RandomDistillation

KINDS = [RandomDistillation, OneStepFlow]


def ring(n, radius=2.0, seed=0):
    """Points around a circle, in a plane of six dimensions."""
    generator = torch.Generator().manual_seed(seed)
    angle = 6.2832 * torch.rand(n, generator=generator)
    spread = 0.1 * torch.randn(n, 6, generator=generator)
    spread[:, 0] += radius * angle.cos()
    spread[:, 1] += radius * angle.sin()
    return spread


def build(kind, seed=0):
    torch.manual_seed(seed)
    return kind(6, width=64)


@pytest.fixture(scope="module", params=KINDS)
def fitted(request):
    made = build(request.param)
    made.fit(100 * ring(1000) + 50, generator=torch.Generator().manual_seed(1), steps=600)
    return made


def separation(score, familiar, new):
    """P(a new embedding scores higher than a familiar one)."""
    return (score(new)[:, None] > score(familiar)).float().mean().item()


def test_what_was_never_seen_scores_higher(fitted):
    """Held-out points of the same ring against a ring three times as wide, in units that whitening has to remove."""
    familiar, new = (100 * points + 50 for points in (ring(300, seed=2), ring(300, 6.0, seed=3)))
    assert separation(fitted, familiar, new) > 0.95
    assert abs(separation(fitted, 100 * ring(300, seed=4) + 50, familiar) - 0.5) < 0.1


def test_a_hole_in_the_demonstrations_takes_another_score(fitted):
    """Networks interpolate: the middle of the ring looks familiar to them, and not to the nearest neighbors."""
    familiar, middle, reference = (100 * x + 50 for x in (ring(300, seed=2), ring(300, 0.0, seed=3), ring(1000)))
    assert separation(fitted, familiar, middle) < 0.6
    assert separation(lambda x: neighbor_distance(x, reference), familiar, middle) > 0.95


def test_it_is_learned(fitted):
    """Untrained networks of the same kind are wrong on what was seen, too."""
    familiar = 100 * ring(300, seed=2) + 50
    untrained = build(type(fitted), seed=0)
    untrained.centre.copy_(fitted.centre)
    untrained.scale.copy_(fitted.scale)
    assert fitted(familiar).median() < 0.5 * untrained(familiar).median()


def test_the_frozen_network_stays_as_it_is():
    made = build(RandomDistillation)
    before = [p.clone() for p in made.target.parameters()]
    made.fit(ring(50), generator=torch.Generator().manual_seed(0), steps=5)
    assert all(torch.equal(a, b) for a, b in zip(before, made.target.parameters(), strict=True))


def test_a_flow_that_is_right_scores_zero_and_one_that_goes_the_other_way_does_not():
    made = build(OneStepFlow)
    made.velocity = torch.nn.Linear(7, 6)
    with torch.no_grad():
        made.velocity.weight.copy_(torch.eye(6, 7).neg())
        made.velocity.bias.zero_()
    points = ring(20)
    assert made(points).max() < 1e-10
    made.velocity.weight.data.neg_()
    torch.testing.assert_close(made(points), 4 * points.square().sum(1))


def test_flow_matching_goes_from_embeddings_to_noise():
    """Standard normal embeddings, of which the best velocity is known, and its loss.

    x_s and e - o are jointly normal: E[e - o | x_s] = (2 s - 1) / (1 - 2 s + 2 s^2) x_s, with a residual variance of
    2 - (2 s - 1)^2 / (1 - 2 s + 2 s^2), in the mean over s pi / 2; with time reversed it is more.
    """

    class Best(torch.nn.Module):
        def __init__(self, sign):
            super().__init__()
            self.sign = sign

        def forward(self, x):
            s = x[:, -1:]
            return self.sign * (2 * s - 1) / (1 - 2 * s + 2 * s**2) * x[:, :-1]

    made, losses = build(OneStepFlow), []
    for sign in (1, -1):
        made.velocity = Best(sign)
        generator = torch.Generator().manual_seed(0)
        losses.append(made.loss(torch.randn(20_000, 6, generator=generator), generator).item())
    assert losses[0] == pytest.approx(torch.pi / 2, abs=0.02)
    assert losses[1] > 2.3


@pytest.mark.parametrize("kind", KINDS)
def test_a_fit_depends_on_its_seeds_alone(kind):
    first, second = build(kind), build(kind)
    first.fit(ring(50), generator=torch.Generator().manual_seed(0), steps=5)
    torch.manual_seed(7)
    second.fit(ring(50), generator=torch.Generator().manual_seed(0), steps=5)
    assert torch.equal(first(ring(9)), second(ring(9)))


@pytest.mark.parametrize("embeddings", [torch.zeros(1, 6), torch.full((9, 6), torch.nan)])
def test_embeddings_that_cannot_be_learned(embeddings):
    with pytest.raises(ValueError, match="at least 2 finite embeddings"):
        build(RandomDistillation).fit(embeddings, generator=torch.Generator())
