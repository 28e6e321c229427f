"""A translation that keeps places is told from one that moves them."""

import numpy as np
import pytest

from robolearn.nets.descent import FitConfig
from robolearn.translation.labels import compare, probe_labels
from tests.representation.conftest import squares


def some(seed, episodes=20):
    """Images of squares, and where they are."""
    rng = np.random.default_rng(seed)
    drawn = [squares(rng, 10, side=32) for _ in range(episodes)]
    return np.concatenate([images for images, _ in drawn]), np.concatenate([places for _, places in drawn])


@pytest.mark.long
def test_places_are_read_from_what_shows_them():
    """Mirrored images look as real as any."""
    (images, places), (others, their) = some(0), some(1)
    mirrored = others[:, :, ::-1].copy()
    probe = probe_labels((images, places), (others, their), (mirrored, their), fit=FitConfig(steps=200))
    for told in (probe.recorded.explained, probe.recorded.correlation):
        assert (told > 0.8).all()
    assert probe.translated.correlation[0] < -0.8
    assert probe.translated.explained[0] < 0
    for told in (probe.translated.explained, probe.translated.correlation):
        assert told[1] > 0.7  # a mirror leaves heights
    same = probe_labels((images, places), (others, their), (others, their), fit=FitConfig(steps=5))
    np.testing.assert_array_equal(same.recorded.explained, same.translated.explained)


def test_what_moves_everything_alike_keeps_labels_but_not_where_things_are():
    """As a camera in another place does. Who reads the same from all images reads nothing."""
    numbers = np.random.default_rng(0).normal(size=(50, 2))
    moved = compare(numbers + np.array([0.0, 10.0]), numbers)
    np.testing.assert_allclose(moved.correlation, 1.0)
    assert moved.explained[0] == 1.0
    assert moved.explained[1] < -50
    for same in (0.0, 0.1):  # the mean of 50 times 0.1 is another number
        assert np.isnan(compare(np.full((50, 2), same), numbers).correlation).all()


def test_rows_that_do_not_fit_are_refused():
    images, places = some(0, 2)
    good = images, places
    with pytest.raises(ValueError, match=r"probe: held-out images .* and numbers .* do not fit together"):
        probe_labels(good, (images, places[:3]), good)
    with pytest.raises(ValueError, match=r"probe: translated images .* do not fit together"):
        probe_labels(good, good, (images[:, :20], places))
    with pytest.raises(ValueError, match="number 1 is the same in all held-out rows"):
        probe_labels(good, good, (images, places * np.float32([1, 0])))
