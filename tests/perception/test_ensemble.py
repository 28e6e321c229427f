import json
import resource

import numpy as np
import pytest
import torch

from robolearn.data.normalizer import Normalizer
from robolearn.nets.descent import FitConfig
from robolearn.nets.vision import VisionConfig
from robolearn.perception.ensemble import CONFIG_FILE, WEIGHTS_FILE, PerceptionConfig, PerceptionEnsemble
from robolearn.perception.fit import fit_ensemble, fit_member

VISION = VisionConfig(width=8, num_keypoints=4, features=8, shift=0, jitter=0.05)
CONFIG = PerceptionConfig((16, 16, 3), num_values=2, num_members=3, hidden=16, vision=VISION)


def squares(num_episodes, num_frames=2, seed=0):
    """A bright square on noise; the values are its column and row, in meters of 1 px = 0.01 m."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 60, (num_episodes, num_frames, 16, 16, 3)).astype(np.uint8)
    corner = rng.integers(0, 13, (num_episodes, 2))
    for i, (x, y) in enumerate(corner):
        images[i, :, y : y + 4, x : x + 4] = 220
    return images, 0.01 * corner.astype(float)


@pytest.fixture(scope="module")
def fitted():
    return fit_ensemble(CONFIG, *squares(60), FitConfig(steps=150, batch_size=16), seed=3)


@pytest.fixture
def barely_fitted():
    return lambda seed: fit_ensemble(CONFIG, *squares(5), FitConfig(steps=3, batch_size=4), seed=seed)


def test_members_read_what_an_image_shows(fitted):
    """On new episodes, better than the mean of the training values, and each in its own way."""
    images, values = squares(40, 1, seed=1)
    predicted = fitted(torch.from_numpy(images[:, 0])).detach().numpy()
    assert predicted.shape == (3, 40, 2)
    errors = np.abs(predicted - values).mean((1, 2))
    assert (errors < 0.7 * np.abs(values - values.mean(0)).mean()).all()
    assert (np.abs(predicted[1:] - predicted[:-1]).mean((1, 2)) > 1e-4).all()


def test_the_seed_fixes_the_ensemble_and_leaves_the_global_stream_alone(barely_fitted):
    one = barely_fitted(3)
    torch.manual_seed(11)
    before = torch.random.get_rng_state()
    again, other = barely_fitted(3), barely_fitted(4)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), again.parameters(), strict=True))
    assert not torch.equal(next(one.parameters()), next(other.parameters()))


class Witness(torch.nn.Module):
    """Notes which episodes it is shown: an image's level is its episode's number."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seen = set()

    def forward(self, images):
        self.seen |= set(images[:, 0, 0, 0].tolist())
        return self.weight * torch.ones(len(images), 1)


def test_whole_episodes_are_left_out_of_a_bootstrap():
    """1 - 1 / e = 0.63 of the episodes are seen; a bootstrap of frames would see practically all."""
    images = np.broadcast_to(np.arange(200, dtype=np.uint8)[:, None, None, None, None], (200, 8, 2, 2, 1))
    seen, still = [], VisionConfig(shift=0, jitter=0.0)
    for seed in range(2):
        witness, rng = Witness(), np.random.default_rng(seed)
        fit_member(witness, images, torch.zeros(200, 1), still, FitConfig(steps=100, batch_size=64), rng)
        seen.append(witness.seen)
        assert 0.55 < len(witness.seen) / 200 < 0.71
    assert seen[0] != seen[1]


def test_members_are_shown_other_hues_where_that_is_asked_for():
    """Of a red image with values of their own; a gray one would look as it did."""
    images = np.broadcast_to(np.array([90, 60, 60], np.uint8), (4, 2, 2, 2, 3))
    for hue, alike in ((0.0, True), (0.5, False)):
        witness, vision = Witness(), VisionConfig(shift=0, jitter=0.0, hue=hue)
        fit_member(witness, images, torch.zeros(4, 1), vision, FitConfig(steps=5), np.random.default_rng(0))
        assert (witness.seen == {90}) == alike


def test_a_saved_ensemble_reads_the_same(fitted, tmp_path):
    fitted.save(tmp_path)
    loaded = PerceptionEnsemble.load(tmp_path)
    images = torch.from_numpy(squares(5)[0][:, 0])
    assert loaded.cfg == CONFIG
    assert not loaded.training
    assert torch.equal(loaded(images), fitted(images))


@pytest.mark.parametrize("damage", ["missing", "truncated", "other"])
def test_damaged_weights_are_one_line(fitted, tmp_path, damage):
    fitted.save(tmp_path)
    weights = tmp_path / WEIGHTS_FILE
    if damage == "missing":
        weights.unlink()
    elif damage == "truncated":
        weights.write_bytes(weights.read_bytes()[:100])
    else:
        text = (tmp_path / CONFIG_FILE).read_text()
        (tmp_path / CONFIG_FILE).write_text(text.replace('"num_members": 3', '"num_members": 2'))
    with pytest.raises(ValueError, match=r"ensemble.safetensors: (no such file|damaged or of another)") as error:
        PerceptionEnsemble.load(tmp_path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("huge", [10**5, 1 << 40])
@pytest.mark.parametrize(
    "name", ["num_values", "num_members", "hidden", "vision.width", "vision.features", "vision.num_keypoints"]
)
def test_absurd_sizes_are_refused_before_memory_is_taken(tmp_path, name, huge):
    PerceptionEnsemble(CONFIG, Normalizer({"value": (2,)})).save(tmp_path)
    content = json.loads((tmp_path / CONFIG_FILE).read_text())
    *outer, last = name.split(".")
    (content[outer[0]] if outer else content)[last] = huge
    (tmp_path / CONFIG_FILE).write_text(json.dumps(content))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ValueError, match="ensemble") as error:
        PerceptionEnsemble.load(tmp_path)
    assert "\n" not in str(error.value)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kilobytes


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_shape": (16, 16)}, r"image_shape \(16, 16\) is no image"),
        ({"num_values": 0}, "num_values 0 must be at least 1"),
        ({"num_members": 1}, "num_members 1 must be at least 2"),
        ({"vision": VisionConfig(shift=4)}, "vision.shift 4 must be 0"),
    ],
)
def test_a_wrong_configuration_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        PerceptionConfig(**{"image_shape": (16, 16, 3), "num_values": 2, **change})


def test_wrong_training_settings_are_refused():
    with pytest.raises(ValueError, match=r"steps 0, batch_size 32 and lr 0\.003 must be positive"):
        FitConfig(steps=0)


def test_images_that_do_not_fit_are_refused():
    images, values = squares(4)
    for wrong in ((images, values[:, :1]), (images[:0], values[:0]), (images[..., :1], values)):
        with pytest.raises(ValueError, match="do not fit image_shape"):
            fit_ensemble(CONFIG, *wrong, FitConfig(steps=1200), seed=0)


def test_images_that_are_no_bytes_are_refused(fitted):
    """In [0, 1] they would all be nearly black, and nothing would be said."""
    images, values = squares(4)
    for wrong in (images / 255, images > 100):
        with pytest.raises(ValueError, match=rf"images are {wrong.dtype}; give uint8, 0 \.\. 255"):
            fit_ensemble(CONFIG, wrong, values, FitConfig(steps=1), seed=0)
        with pytest.raises(ValueError, match=r"must be uint8 \[n, 16, 16, 3\]"):
            fitted(torch.from_numpy(wrong[:, 0]))
    with pytest.raises(ValueError, match=r"images uint8 \(4, 8, 16, 3\) must be uint8 \[n, 16, 16, 3\]"):
        fitted(torch.from_numpy(images[:, 0, :8]))


def test_examples_may_lie_backwards_in_memory():
    images, values = squares(4)
    behind = images[::-1].copy()[::-1], values[::-1].copy()[::-1]
    one, other = (fit_ensemble(CONFIG, *rows, FitConfig(steps=1), seed=0) for rows in ((images, values), behind))
    assert all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


def test_an_untrained_ensemble_is_in_physical_units():
    """The normalizer's scale reaches the predictions."""
    torch.manual_seed(0)
    ensemble = PerceptionEnsemble(CONFIG, Normalizer({"value": (2,)}))
    images = torch.from_numpy(squares(3)[0][:, 0])
    plain = ensemble(images)
    ensemble.normalizer.get_buffer("value_scale").fill_(0.1)
    ensemble.normalizer.get_buffer("value_centre").fill_(5.0)
    torch.testing.assert_close(ensemble(images), 0.1 * plain + 5.0)
