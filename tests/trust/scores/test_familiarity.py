"""Scores fitted to demonstrations: larger for what was not seen, and the same after a file."""

from functools import partialmethod

import pytest
import torch
from safetensors.torch import save_file

from robolearn.trust.scores.familiarity import Reference, mahalanobis, neighbor_distance
from robolearn.trust.scores.fitted import FILE, fit_scores, load_fitted, save_fitted
from robolearn.trust.scores.novelty import Novelty
from robolearn.trust.scores.registry import SCORES

FAMILIARITY = [name for name, score in SCORES.items() if score.fit]


@pytest.fixture(scope="module")
def embeddings():
    return torch.randn(500, 4, generator=torch.Generator().manual_seed(0))


def fit(embeddings, steps):
    generator = torch.Generator().manual_seed(1)
    chunks = embeddings @ torch.randn(4, 6, generator=generator) + 0.1 * torch.randn(500, 6, generator=generator)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Novelty, "fit", partialmethod(Novelty.fit, steps=steps))
        return fit_scores(FAMILIARITY, embeddings, chunks, seed=0)


@pytest.fixture(scope="module")
def fitted(embeddings):
    """Not for long: files do not mind."""
    return fit(embeddings, steps=2)


@pytest.fixture(scope="module")
def well_fitted(embeddings):
    return fit(embeddings, steps=300)


NEW = torch.tensor([[0.0, 0.1, 0.2, 0.0], [6.0, -6.0, 6.0, 6.0]])


@pytest.mark.long
@pytest.mark.parametrize("name", FAMILIARITY)
def test_what_is_far_scores_higher_than_all_that_was_seen(well_fitted, embeddings, name):
    near, far = well_fitted[name](NEW).tolist()
    assert near < well_fitted[name](embeddings).max() < far


def test_files_keep_them(fitted, tmp_path):
    save_fitted(tmp_path, fitted)
    for name, score in load_fitted(tmp_path, FAMILIARITY, torch.device("cpu")).items():
        assert torch.equal(score(NEW), fitted[name](NEW)), name


def test_a_file_without_the_score_is_refused(fitted, tmp_path):
    with pytest.raises(ValueError, match="no such file"):
        load_fitted(tmp_path, ["rnd"], torch.device("cpu"))
    save_fitted(tmp_path, {"laplace": fitted["laplace"]})
    with pytest.raises(ValueError, match="holds no score rnd"):
        load_fitted(tmp_path, ["rnd"], torch.device("cpu"))
    save_fitted(tmp_path, {})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_numbers_that_are_not_finite_are_refused(fitted, tmp_path, value):
    save_fitted(tmp_path, {"mahalanobis": Reference(mahalanobis, torch.full((20, 4), value))})
    with pytest.raises(ValueError, match=f"{FILE}: mahalanobis.reference holds NaN or infinity"):
        load_fitted(tmp_path, ["mahalanobis"], torch.device("cpu"))


@pytest.mark.parametrize("tensors", [{"laplace.mean": torch.zeros(2)}, {"laplace.centre": torch.zeros(2)}])
def test_another_score_under_its_name_is_refused(tmp_path, tensors):
    save_file(tensors, tmp_path / FILE)
    with pytest.raises(ValueError, match=f"{FILE}: damaged or of another score"):
        load_fitted(tmp_path, ["laplace"], torch.device("cpu"))


def test_a_damaged_file_is_refused(tmp_path):
    (tmp_path / FILE).write_bytes(b"12345678")
    with pytest.raises(ValueError, match=f"{FILE}: damaged"):
        load_fitted(tmp_path, ["rnd"], torch.device("cpu"))


def test_distance_from_the_demonstrations():
    reference = torch.randn(500, 3, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 10.0, 0.0])
    new = torch.tensor([[0.0, 0.0, 0.0], [5.0, 0.0, 0.0], [0.0, 5.0, 0.0]])
    inside, across, along = mahalanobis(new, reference)
    assert inside < along < across
    assert across == pytest.approx(5, rel=0.1)
    assert neighbor_distance(reference[:1], reference, 1).item() < 0.01
    near, far, _ = neighbor_distance(new, reference)
    assert far > 3 * near
    assert mahalanobis(new + torch.tensor([0, 0, 0.1]), reference).min() > 10


def test_neighbors_that_do_not_exist():
    with pytest.raises(ValueError, match="num_neighbors 4 must be in"):
        neighbor_distance(torch.zeros(1, 2), torch.zeros(3, 2), 4)
