"""An evaluation compares its episodes with the demonstrations of its run, where these are at hand."""

import shutil

import pytest

import robolearn as rl
from robolearn.evaluation import evaluate as evaluation
from robolearn.trust.departures import Departures


@pytest.fixture
def evaluated(trained_pair, monkeypatch):
    """Evaluate two episodes, and return what the page shows; latency takes long and is left out."""
    monkeypatch.setattr(evaluation, "measure_latency", lambda *_, **__: {})

    def run():
        return rl.evaluate(trained_pair, rl.EvalConfig(episodes=2, videos=0))

    return run


def test_every_episode_is_compared(evaluated, trained_pair, with_page):
    departures = evaluated().departures
    assert isinstance(departures, Departures)
    assert [course.episode for course in departures.courses] == [0, 1]
    assert departures.demonstrators.n == rl.Run.open(trained_pair).data().num_episodes
    assert "Where episodes leave the demonstrations" in (trained_pair / "eval" / "report.html").read_text()


def test_demonstrations_that_are_gone_are_said_to_be(evaluated, trained_pair, tmp_path, with_page):
    """The evaluation itself needs none of them."""
    run = rl.Run.open(trained_pair)
    path = run.config().dataset.path[0]
    shutil.move(path, tmp_path / "elsewhere.zarr")
    try:
        assert str(path) in evaluated().departures
    finally:
        shutil.move(tmp_path / "elsewhere.zarr", path)
    assert "Not compared: " in (trained_pair / "eval" / "report.html").read_text()


def test_more_than_can_be_read_again_in_a_moment_is_not(evaluated, monkeypatch):
    monkeypatch.setattr(evaluation, "MOST_COMPARED", 10)
    assert evaluated().departures == "More than 10 demonstrated steps are not compared."
