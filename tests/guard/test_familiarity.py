"""Scores fitted to demonstrations: larger for what was not seen, and the same after a file."""

from functools import partialmethod

import pytest
import torch

from robolearn.guard.familiarity import FAMILIARITY, fit_familiarity, load_familiarity, save_familiarity
from robolearn.guard.files import describe_source
from robolearn.rollout.environments import EnvConfig
from robolearn.rollout.execution import Execution
from robolearn.safety.novelty import Novelty


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


def test_what_was_fitted_is_part_of_what_is_certified(fitted, make_policy, tmp_path):
    from robolearn.policies.flow import FlowConfig

    make_policy(FlowConfig()).save(tmp_path / "policy")

    def source():
        return describe_source([tmp_path / "policy"], EnvConfig("x"), Execution(2), {}, tmp_path / "gate")

    before = source()
    save_familiarity(tmp_path / "gate", {"laplace": fitted["laplace"]})
    assert source().checkpoint != before.checkpoint
    assert source().configuration == before.configuration
