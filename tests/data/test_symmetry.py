import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from robolearn.config import from_json, to_json
from robolearn.data.symmetry import AffineMap, Symmetry, symmetry_draws

QUARTER = AffineMap(((0.0, -1.0), (1.0, 0.0)), (3.0, 1.0))  # a quarter turn about (1, 2)
TURN = Symmetry({"state": QUARTER, "action": QUARTER}, order=4)


@given(st.integers(-9, 9), st.integers(-9, 9))
def test_turns_add_up(first, second):
    values = torch.randn(5, 2, 2, generator=torch.Generator().manual_seed(0))
    times = torch.full((5,), 1)
    one = TURN.turn("state", TURN.turn("state", values, first * times), second * times)
    torch.testing.assert_close(one, TURN.turn("state", values, (first + second) * times))
    torch.testing.assert_close(TURN.turn("state", values, 4 * times), values)


def test_a_quarter_turn_about_its_centre():
    turned = TURN.turn("state", torch.tensor([[[1.0, 2.0]], [[2.0, 2.0]]]), torch.tensor([1, 1]))
    torch.testing.assert_close(turned, torch.tensor([[[1.0, 2.0]], [[1.0, 3.0]]]))


def test_rows_turn_by_their_own_number_and_unnamed_keys_stay():
    values = torch.randn(4, 3, 2, generator=torch.Generator().manual_seed(0))
    times = torch.arange(4)
    turned = TURN.turn("state", values, times)
    for i in range(4):
        torch.testing.assert_close(turned[i], TURN.turn("state", values[i : i + 1], times[i : i + 1])[0])
    assert TURN.turn("other", values, times) is values


def test_the_whole_orbit_has_one_canonical_position():
    obs = {"state": torch.randn(50, 2, 2, generator=torch.Generator().manual_seed(0))}
    canonical = TURN.turn_all(obs, TURN.to_canonical(obs))["state"]
    for times in range(1, 4):
        turned = TURN.turn_all(obs, torch.full((50,), times))
        torch.testing.assert_close(TURN.turn_all(turned, TURN.to_canonical(turned))["state"], canonical)


def test_the_newest_observation_decides():
    values = torch.randn(50, 2, 2, generator=torch.Generator().manual_seed(0))
    times = TURN.to_canonical({"state": values})
    assert torch.equal(times, TURN.to_canonical({"state": values[:, 1:]}))
    assert not torch.equal(times, TURN.to_canonical({"state": values[:, :1]}))


def test_draws_cover_the_group():
    """Each of four turns within 5 standard errors (error rate below 3e-6)."""
    times = symmetry_draws(4000, 4, generator=torch.Generator().manual_seed(0))["symmetry.turn"]
    counts = np.bincount(times.numpy(), minlength=4)
    assert len(counts) == 4
    assert (abs(counts - 1000) < 5 * (4000 * 0.25 * 0.75) ** 0.5).all()


def test_json_and_back():
    assert from_json(Symmetry, to_json(TURN, {}), {}) == TURN


@pytest.mark.parametrize(
    ("maps", "order", "message"),
    [
        ({"state": QUARTER}, 4, "needs a map of 'action'"),
        ({"action": QUARTER}, 1, "order of at least 2"),
        ({"action": QUARTER}, 2, "2 applications to 'action' do not lead back"),
        ({"action": AffineMap(((-1.0,),), (1.0, 2.0))}, 2, "'action' is not square"),
    ],
)
def test_what_is_no_symmetry(maps, order, message):
    with pytest.raises(ValueError, match=message):
        Symmetry(maps, order)
