"""A translation that keeps places is told from one that moves them."""

import numpy as np
import pytest

from robolearn.nets.descent import FitConfig
from robolearn.translation.labels import probe_labels
from tests.representation.conftest import squares


def some(seed, episodes=20):
    """Images of squares, and where they are."""
    rng = np.random.default_rng(seed)
    drawn = [squares(rng, 10, side=32) for _ in range(episodes)]
    return np.concatenate([images for images, _ in drawn]), np.concatenate([places for _, places in drawn])


def test_places_are_read_from_what_shows_them():
    """Mirrored images look as real as any."""
    (images, places), (others, their) = some(0), some(1)
    mirrored = others[:, :, ::-1].copy()
    probe = probe_labels((images, places), (others, their), (mirrored, their), fit=FitConfig(steps=200))
    assert (probe.recorded > 0.8).all()
    assert probe.translated[0] < 0
    assert probe.translated[1] > 0.7  # a mirror leaves heights
    same = probe_labels((images, places), (others, their), (others, their), fit=FitConfig(steps=5))
    np.testing.assert_array_equal(same.recorded, same.translated)


def test_rows_that_do_not_fit_are_refused():
    images, places = some(0, 2)
    good = images, places
    with pytest.raises(ValueError, match=r"probe: held-out images .* and numbers .* do not fit together"):
        probe_labels(good, (images, places[:3]), good)
    with pytest.raises(ValueError, match=r"probe: translated images .* do not fit together"):
        probe_labels(good, good, (images[:, :20], places))
    with pytest.raises(ValueError, match="number 1 is the same in all held-out rows"):
        probe_labels(good, good, (images, places * np.float32([1, 0])))
