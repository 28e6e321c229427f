"""Scores fitted to demonstrations: larger for what was not seen, and the same after a file."""

from functools import partialmethod

import pytest
import torch
from safetensors.torch import save_file

from robolearn.trust.scores.familiarity import (
    FAMILIARITY,
    FILE,
    Reference,
    fit_familiarity,
    load_familiarity,
    save_familiarity,
)
from robolearn.trust.scores.novelty import Novelty
from robolearn.trust.scores.samples import mahalanobis


@pytest.fixture(scope="module")
def embeddings():
    return torch.randn(500, 4, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def fitted(embeddings):
    generator = torch.Generator().manual_seed(1)
    chunks = embeddings @ torch.randn(4, 6, generator=generator) + 0.1 * torch.randn(500, 6, generator=generator)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Novelty, "fit", partialmethod(Novelty.fit, steps=300))
        return fit_familiarity(list(FAMILIARITY), embeddings, chunks, seed=0)


NEW = torch.tensor([[0.0, 0.1, 0.2, 0.0], [6.0, -6.0, 6.0, 6.0]])


@pytest.mark.parametrize("name", FAMILIARITY)
def test_what_is_far_scores_higher_than_all_that_was_seen(fitted, embeddings, name):
    near, far = fitted[name](NEW).tolist()
    assert near < fitted[name](embeddings).max() < far


def test_files_keep_them(fitted, tmp_path):
    save_familiarity(tmp_path, fitted)
    for name, score in load_familiarity(tmp_path, list(FAMILIARITY), torch.device("cpu")).items():
        assert torch.equal(score(NEW), fitted[name](NEW)), name


def test_a_file_without_the_score_is_refused(fitted, tmp_path):
    with pytest.raises(ValueError, match="no such file"):
        load_familiarity(tmp_path, ["rnd"], torch.device("cpu"))
    save_familiarity(tmp_path, {"laplace": fitted["laplace"]})
    with pytest.raises(ValueError, match="holds no score rnd"):
        load_familiarity(tmp_path, ["rnd"], torch.device("cpu"))
    save_familiarity(tmp_path, {})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_numbers_that_are_not_finite_are_refused(fitted, tmp_path, value):
    save_familiarity(tmp_path, {"mahalanobis": Reference(mahalanobis, torch.full((20, 4), value))})
    with pytest.raises(ValueError, match=f"{FILE}: mahalanobis.reference holds NaN or infinity"):
        load_familiarity(tmp_path, ["mahalanobis"], torch.device("cpu"))


@pytest.mark.parametrize("tensors", [{"laplace.mean": torch.zeros(2)}, {"laplace.centre": torch.zeros(2)}])
def test_another_score_under_its_name_is_refused(tmp_path, tensors):
    save_file(tensors, tmp_path / FILE)
    with pytest.raises(ValueError, match=f"{FILE}: damaged or of another score"):
        load_familiarity(tmp_path, ["laplace"], torch.device("cpu"))


def test_a_damaged_file_is_refused(tmp_path):
    (tmp_path / FILE).write_bytes(b"12345678")
    with pytest.raises(ValueError, match=f"{FILE}: damaged"):
        load_familiarity(tmp_path, ["rnd"], torch.device("cpu"))
