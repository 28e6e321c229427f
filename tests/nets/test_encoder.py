import math

import pytest
import torch

from robolearn.nets.encoder import ObsEncoder, StateEncoder
from robolearn.nets.vision import VisionConfig


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


CAMERA = (16, 24, 3)
SMALL = VisionConfig(width=8, num_keypoints=4, features=5)


def images(*leading, shape=CAMERA, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(256, (*leading, *shape), generator=generator, dtype=torch.uint8)


def test_state_and_several_cameras_side_by_side():
    torch.manual_seed(0)
    shapes = {"front": CAMERA, "state": (4,), "wrist": (12, 12, 1)}
    encoder = ObsEncoder(shapes, {"state": (1,)}, SMALL)
    obs = {
        "front": images(3, 2),
        "state": torch.randn(3, 2, 4),
        "wrist": images(3, 2, shape=(12, 12, 1), seed=1),
    }
    out = encoder({"state": obs["state"] / 2}, obs)
    assert encoder.cond_dim == 5 + 2 * 5
    assert out.shape == (3, 2, encoder.cond_dim)
    alone = StateEncoder({"state": (4,)}, {"state": (1,)})({"state": obs["state"] / 2}, obs)
    torch.testing.assert_close(out[..., :5], alone)
    for i, key in enumerate(("front", "wrist")):  # each camera by its own network, each frame by itself
        frame = encoder.networks[i](obs[key][2, 1][None])[0]
        torch.testing.assert_close(out[2, 1, 5 + 5 * i : 10 + 5 * i], frame)


def test_two_cameras_of_the_same_size_share_no_weights():
    encoder = ObsEncoder({"left": CAMERA, "right": CAMERA}, {}, SMALL)
    same = images(2, 1)
    features = encoder({}, {"left": same, "right": same})
    assert not torch.allclose(features[..., :5], features[..., 5:])


def test_images_alone():
    encoder = ObsEncoder({"camera": CAMERA}, {}, SMALL)
    assert encoder({}, {"camera": images(2, 3)}).shape == (2, 3, 5)


def test_without_images_there_is_nothing_to_learn():
    assert list(ObsEncoder({"state": (4,)}, {}, SMALL).parameters()) == []


def test_an_image_with_the_channels_first_is_refused():
    with pytest.raises(ValueError, match=r"'camera' has shape \(3, 96, 96\), neither low-dimensional nor an image"):
        ObsEncoder({"camera": (3, 96, 96), "state": (4,)}, {}, SMALL)


def test_an_image_has_no_angles():
    with pytest.raises(ValueError, match="is no dimension of the observations"):
        ObsEncoder({"camera": CAMERA, "state": (4,)}, {"camera": (0,)}, SMALL)


@pytest.mark.parametrize("angles", [{"state": (4,)}, {"other": (0,)}])
def test_an_angle_must_exist(angles):
    with pytest.raises(ValueError, match="is no dimension of the observations"):
        StateEncoder({"state": (4,)}, angles)
