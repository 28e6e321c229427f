import math

import pytest
import torch

from robolearn.nets.encoder import StateEncoder


def test_concatenates_in_the_order_of_the_keys():
    encoder = StateEncoder({"b": (2,), "a": (2, 3)}, {})
    obs = {"a": torch.randn(4, 5, 2, 3), "b": torch.randn(4, 5, 2)}
    out = encoder(obs, obs)
    assert encoder.cond_dim == 8
    torch.testing.assert_close(out, torch.cat([obs["b"], obs["a"].flatten(2)], dim=2))


def test_an_angle_is_the_same_after_a_turn():
    encoder = StateEncoder({"state": (3,)}, {"state": (1,)})
    obs = torch.tensor([0.5, -math.pi + 0.1, 0.2]).view(1, 1, 3)
    turned = obs + torch.tensor([0.0, 2 * math.pi, 0.0])
    one, other = (encoder({"state": x / 4}, {"state": x}) for x in (obs, turned))
    assert encoder.cond_dim == one.shape[2] == 4
    torch.testing.assert_close(one, other)
    expected = torch.tensor([0.125, 0.05, math.sin(-math.pi + 0.1), math.cos(-math.pi + 0.1)])
    torch.testing.assert_close(one[0, 0], expected)


def test_images_are_refused():
    with pytest.raises(ValueError, match=r"'camera' is an image .* \['state'\]"):
        StateEncoder({"camera": (3, 96, 96), "state": (4,)}, {})


@pytest.mark.parametrize("angles", [{"state": (4,)}, {"other": (0,)}])
def test_an_angle_must_exist(angles):
    with pytest.raises(ValueError, match="is no dimension of the observations"):
        StateEncoder({"state": (4,)}, angles)
