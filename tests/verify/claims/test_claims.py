"""Robustness, clearance and codes: what is proved is never violated, and what is violated is never proved."""

import math

import numpy as np
import pytest
import torch

from robolearn.verify.claims.clearance import Clearance
from robolearn.verify.claims.codes import UnsafeProbability
from robolearn.verify.claims.limits import Limits
from robolearn.verify.claims.robustness import Robustness, radii
from robolearn.verify.claims.search import decide_all
from robolearn.verify.claims.subject import Chunks, Coded
from robolearn.verify.loop.codes import Codes
from robolearn.verify.policy import subject_of
from tests.verify.loop.crossing import Exploding

STEPS = 3


def asked(trained, name, count=2):
    subject = subject_of(trained(name), STEPS)
    return subject, torch.randn(count, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("name", ["regression", "tokens, likely"])
def test_between_both_radii_nothing_contradicts(trained, name):
    """At 300 errors of the proved size no action moves by more than delta; the falsified size is at most 4 times it."""
    subject, seen = asked(trained, name)
    claim = Robustness(torch.cat([subject.act(x[None]).lower for x in seen]), torch.tensor([0.1, 0.2]), STEPS)
    radius = radii(subject, claim, lambda error: (seen - error[:, None], seen + error[:, None]), 2, 0.5)
    assert (radius.proved > 0).all()
    assert (radius.proved < radius.falsified).all()
    assert (radius.falsified / radius.proved).median() < 4
    by = 2 * torch.rand(300, *seen.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64) - 1
    by[:100] = by[:100].sign()
    points = seen + radius.proved[:, None] * by
    for row in range(2):
        assert (claim.margin(subject.act(points[:, row]), torch.full((300,), row)) >= 0).all()


@pytest.mark.parametrize(("low", "high", "left"), [(-0.2, 0.05, -0.1), (-0.05, 0.2, -0.1), (-0.07, 0.06, 0.03)])
def test_an_action_may_move_neither_up_nor_down_by_more(low, high, left):
    claim = Robustness(torch.full((1, 1, 1), 5.0).double(), torch.tensor([0.1]), 1)
    ends = (torch.full((1, 1, 1), 5 + by, dtype=torch.float64) for by in (low, high))
    assert float(claim.margins(*ends, torch.tensor([0]))) == pytest.approx(left)


def test_a_negative_delta_is_refused():
    with pytest.raises(ValueError, match=r"`delta` .* must not be negative"):
        Robustness(torch.zeros(1, 1, 2), torch.tensor([-1.0]), 2)


def to_disc(xy):
    return np.linalg.norm(xy - np.array([1.0, 0.0]), axis=-1) - 0.5


def test_boxes_of_positions_are_clear_only_where_every_position_is():
    """Against the distance on a grid of 400 positions of 500 random boxes."""
    rng = np.random.default_rng(0)
    center, half = rng.uniform(-1, 3, (500, 1, 2)), rng.uniform(0, 0.5, (500, 1, 2))
    low, high = (torch.from_numpy(center + side * half) for side in (-1, 1))
    claim = Clearance(to_disc, 1, 2, least=0.1)
    margin = claim.margins(low, high, torch.arange(500))[:, 0].numpy()
    share = np.stack(np.meshgrid(*[np.linspace(0, 1, 20)] * 2), -1).reshape(-1, 2)
    true = to_disc(center - half + 2 * share * half).min(1) - 0.1
    assert (margin <= true + 1e-9).all()
    assert ((margin >= 0) == (true >= 0)).mean() > 0.9
    assert (margin[true > 0.2] >= 0).all()


def test_codes_are_weighed_by_the_probability_of_those_that_are_unsafe():
    chunks = Chunks(
        lower=torch.tensor([[[0.0], [0.5], [0.0]]]).double(),
        upper=torch.tensor([[[0.5], [1.5], [3.0]]]).double(),
        probability=torch.tensor([[0.9, 0.3, 0.0]]).double(),
        influence=torch.zeros(1, 1),
    )
    limits = Limits(torch.tensor([-1.0]), torch.tensor([1.0]), 1)
    assert UnsafeProbability(limits, 0.31).margin(chunks, torch.tensor([0])) > 0  # code 2 is never drawn
    assert UnsafeProbability(limits, 0.29).margin(chunks, torch.tensor([0])) < 0
    with pytest.raises(ValueError, match=r"`probability` 1.0 must be in \[0, 1\)"):
        UnsafeProbability(limits, 1.0)


def test_what_is_no_number_is_never_a_proof():
    """Neither as a bound nor as a probability."""
    limits, row = Limits(torch.tensor([-1.0]), torch.tensor([1.0]), 1), torch.tensor([0])
    for bounds, drawn in (([math.nan, 0.0], [1.0, 1.0]), ([2.0, 0.0], [math.nan, math.nan])):
        ends = torch.tensor(bounds, dtype=torch.float64)[None, :, None]
        chunks = Chunks(ends, ends, torch.tensor([drawn], dtype=torch.float64), torch.zeros(1, 1))
        for claim in (limits, UnsafeProbability(limits, 0.5)):
            assert claim.margin(chunks, row) < 0


def test_a_policy_whose_bounds_explode_is_not_proved():
    """Its actions leave the limits somewhere in the box, where all bounds are no numbers."""
    policy = Exploding()
    subject = Coded(Codes(policy.features, policy.logits, policy.chunk, 2, 0.1), STEPS * 2)
    limits = Limits(torch.full((2,), -0.5), torch.full((2,), 0.5), STEPS)
    low, high = torch.zeros(1, 2).double(), torch.ones(1, 2).double()
    assert not subject.enclose(low, high).lower.isfinite().any()
    for claim in (limits, UnsafeProbability(limits, 0.0)):
        assert [one.answer for one in decide_all(subject, claim, low, high, seconds=0.1)] == ["falsified"]


@pytest.mark.parametrize("name", ["tokens", "tokens, likely"])
def test_the_share_of_unsafe_codes_is_bounded(trained, name):
    """Limits that some code leaves: the proved probability is above that of 200 points, and below 1 by something."""
    subject, seen = asked(trained, name)
    own = [subject.act(x[None]) for x in seen]
    middle = torch.stack([chunk.lower[0].unflatten(1, (STEPS, 2)).amax((0, 1)) for chunk in own]).amax(0)
    limits = Limits(torch.full((2,), -math.inf), middle - 0.05, STEPS)
    low, high = seen - 0.005, seen + 0.005
    claim = UnsafeProbability(limits, 0.0)
    bound = -claim.margin(subject.enclose(low, high), torch.arange(2))
    share = torch.rand(200, *seen.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    for row in range(2):
        points = low[row] + share[:, row] * (high - low)[row]
        assert (-claim.margin(subject.act(points), torch.full((200,), row)) <= bound[row]).all()
    assert bound.min() < 1
    outcomes = decide_all(subject, UnsafeProbability(limits, 0.999), low, high, seconds=1.0)
    assert {one.answer for one in outcomes} <= {"proved", "falsified", "open"}
