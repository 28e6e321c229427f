"""Scores by name: one dict, to which others can add from outside."""

import importlib
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch

from robolearn.policies.ensemble import Ensemble
from robolearn.policies.flow import FlowConfig
from robolearn.trust.monitor import Monitor
from robolearn.trust.scores.fitted import fit_scores, load_fitted, save_fitted
from robolearn.trust.scores.registry import SCORES, check_score_names, register_score
from robolearn.trust.scores.score import Score

PACKAGE = """
    import torch

    from robolearn.trust.scores.registry import register_score
    from robolearn.trust.scores.score import Score


    class FromTheMean(torch.nn.Module):
        def __init__(self, mean):
            super().__init__()
            self.register_buffer("mean", mean)

        def forward(self, embedding):
            return (embedding - self.mean).norm(dim=1)


    def far(ensemble, period):
        if period > 3:
            raise ValueError("it looks at three steps")


    register_score(Score("stillness", lambda seen: -seen.executed.diff(dim=1).norm(dim=2).mean(1), far))
    register_score(
        Score.of_embeddings(
            "from-the-mean",
            lambda embeddings, chunks, generator: FromTheMean(embeddings.mean(0)),
            lambda state: FromTheMean(state["mean"]),
        )
    )
"""


@pytest.fixture
def registered(tmp_path, monkeypatch, scores_of_before):
    """Two scores of somebody else's package."""
    (tmp_path / "others_scores.py").write_text(textwrap.dedent(PACKAGE))
    monkeypatch.syspath_prepend(tmp_path)
    importlib.import_module("others_scores")
    yield tmp_path
    del sys.modules["others_scores"]


def test_scores_from_outside_are_fitted_kept_and_watched_like_others(registered, make_policy):
    ensemble = Ensemble([make_policy(FlowConfig())])
    embeddings = torch.randn(50, 8, generator=torch.Generator().manual_seed(0))
    fitted = fit_scores(["stillness", "from-the-mean"], embeddings, embeddings, seed=0)
    save_fitted(registered, fitted)
    kept = load_fitted(registered, ["from-the-mean", "stillness"], torch.device("cpu"))
    names = ["stillness", "from-the-mean", "entropy"]
    monitor = Monitor(ensemble, names, 4, 2, seed=0, period=2, fitted=kept)
    monitor.reset([0, 1], [0, 1])
    chunks = np.stack([np.zeros((4, 2)), np.arange(8).reshape(4, 2)]).astype(np.float32)
    obs = {"state": np.ones((2, 2, 4), np.float32)}
    scores, _ = monitor.watch(np.arange(2), obs, chunks)
    assert list(scores) == names
    assert scores["stillness"][0] == 0 > scores["stillness"][1]
    there = ensemble.embed({"state": torch.ones(2, 2, 4)}) - embeddings.mean(0)
    np.testing.assert_allclose(scores["from-the-mean"], there.norm(dim=1), rtol=1e-6)
    with pytest.raises(ValueError, match="score stillness: it looks at three steps"):
        check_score_names(["stillness"], ensemble, 4)


def test_a_name_is_given_once():
    with pytest.raises(ValueError, match="there is a score 'stac' already"):
        register_score(Score("stac", lambda seen: seen.elapsed))
    register_score(SCORES["stac"])  # a module that is imported twice


def test_what_is_unknown_is_said_with_all_there_are(make_policy):
    with pytest.raises(ValueError, match=r"score 'surprise' is unknown; choose from disagreement, .* or register it"):
        check_score_names(["surprise"], Ensemble([make_policy(FlowConfig())]), 2)
    assert all(name == score.name and (score.fit is None) == (score.restore is None) for name, score in SCORES.items())


def test_the_guide_names_every_score():
    text = (Path(__file__).parents[3] / "docs" / "safety.md").read_text()
    assert [name for name in SCORES if f"`{name}`" not in text] == []
