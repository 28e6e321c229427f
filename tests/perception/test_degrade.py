import numpy as np
import pytest

from robolearn.perception.degrade import COVER, COVER_GRAY, DEGRADATIONS, NOISE, degrade, noisy, occluded, relit

GRAY = np.full((6, 40, 40, 3), 128, np.uint8)
STRENGTH = np.array([0.0, 0.1, 0.25, 0.5, 0.75, 1.0])


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.mark.parametrize("apply", [noisy, occluded, relit])
def test_no_strength_changes_nothing(apply, rng):
    images = rng.integers(0, 256, (3, 8, 8, 3)).astype(np.uint8)
    before = images.copy()
    np.testing.assert_array_equal(apply(images, np.zeros(3), rng), images)
    assert (apply(images, np.ones(3), rng) != images).any()
    np.testing.assert_array_equal(images, before)


def test_noise_has_its_standard_deviation(rng):
    noise = noisy(GRAY[:4], STRENGTH[:4], rng).astype(float) - 128
    np.testing.assert_allclose(noise.std((1, 2, 3)), np.hypot(NOISE * STRENGTH[:4], [0, 0.29, 0.29, 0.29]), rtol=0.03)
    assert np.abs(noise.mean((1, 2, 3))).max() < 1.5


def test_the_cover_has_its_area_and_moves(rng):
    centers = []
    for _ in range(200):
        covered = (occluded(GRAY, STRENGTH, rng) == COVER_GRAY).all(-1)
        side = COVER * 40 * STRENGTH
        assert (np.abs(np.sqrt(covered.sum((1, 2))) - side) <= 1).all()
        centers.append(np.argwhere(covered[3]).mean(0))
    centers = np.array(centers)
    np.testing.assert_allclose(centers.min(0), 6, atol=1)  # half the side from the edge
    np.testing.assert_allclose(centers.max(0), 34, atol=1)


def test_the_light_goes_up_and_down(rng):
    levels = np.array([relit(GRAY, np.ones(6), rng)[:, 0, 0, 0] for _ in range(20)])
    assert set(levels.ravel()) == {45, 255}  # 128 / 2.83, and clipped


def test_strengths_differ_between_images_and_follow_the_seed():
    for kind in DEGRADATIONS:
        one, same, other = (degrade(kind, GRAY, np.random.default_rng(seed)) for seed in (1, 1, 2))
        np.testing.assert_array_equal(one, same)
        assert (one != other).any()
        assert one.dtype == np.uint8
        assert len({image.tobytes() for image in one}) == len(one)


@pytest.mark.parametrize("kind", DEGRADATIONS)
def test_images_that_are_no_bytes_are_refused(kind, rng):
    with pytest.raises(ValueError, match=rf"degradation {kind}: images are float64; give uint8, 0 \.\. 255"):
        degrade(kind, GRAY / 255, rng)


def test_an_unknown_kind_is_refused(rng):
    with pytest.raises(ValueError, match="'fog' is unknown; choose from noise, occlusion, brightness"):
        degrade("fog", GRAY, rng)
