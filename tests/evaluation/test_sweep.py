"""What is finished is not done again, and nothing else is taken for it."""

import dataclasses
import shutil
import signal

import pytest

import robolearn as rl
from robolearn.config import read_json, write_json
from robolearn.errors import UserError, exit_status
from robolearn.evaluation import evaluate as evaluation
from robolearn.evaluation import sweep as sweeping
from robolearn.training.signals import stop_signal


@pytest.fixture(autouse=True)
def _without_latency(monkeypatch):
    monkeypatch.setattr(evaluation, "measure_latency", lambda *_, **__: {})


SWEPT = []


@pytest.fixture
def swept(trained_pair, tmp_path, tmp_path_factory):
    """What was swept, its rows and the folder of its only run; swept once, a copy for each test."""
    if not SWEPT:
        out = tmp_path_factory.mktemp("sweep") / "swept"
        cfg = rl.SweepConfig((str(trained_pair),), seeds=(3,), episodes=2, out=out, device="cpu")
        SWEPT.append((cfg, rl.sweep(cfg)))
    cfg, rows = SWEPT[0]
    shutil.copytree(cfg.out, tmp_path / "swept", symlinks=True)
    return dataclasses.replace(cfg, out=tmp_path / "swept"), rows, tmp_path / "swept/run/3"


@pytest.mark.parametrize("otherwise", [{"seed": 7}, {"steps": 1}, {"execution": rl.Execution(1)}])
def test_another_evaluation_of_a_run_is_not_taken_for_that_of_the_sweep(swept, otherwise):
    """Both are written to RUN/eval."""
    cfg, rows, run = swept
    rl.evaluate(run, rl.EvalConfig(episodes=2, videos=0, threads=1, **otherwise))
    written = (run / "eval/episodes.jsonl").read_text()
    assert rl.sweep(cfg) == rows
    assert (run / "eval/episodes.jsonl").read_text() != written


def test_an_older_evaluation_that_says_less_of_itself_counts(swept):
    cfg, rows, run = swept
    summary = read_json(run / "eval/summary.json")
    del summary["evaluated"]["sampling"]
    write_json(run / "eval/summary.json", summary)
    before = (run / "eval/episodes.jsonl").stat().st_mtime_ns
    assert rl.sweep(cfg) == rows
    assert (run / "eval/episodes.jsonl").stat().st_mtime_ns == before


def test_an_evaluation_that_was_stopped_before_its_page_is_made_again(swept, tmp_path, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    cfg = dataclasses.replace(swept[0], out=tmp_path / "other")
    with monkeypatch.context() as patch:
        patch.setattr(evaluation, "write_report", stop)
        with pytest.raises(KeyboardInterrupt):
            rl.sweep(cfg)
    assert rl.sweep(cfg) == swept[1]
    assert (tmp_path / "other/run/3/eval/report.html").exists()


def test_a_run_of_other_demonstrations_is_refused(swept):
    cfg, _, run = swept
    write_json(run / "data.json", read_json(run / "data.json") | {"content_hash": "0" * 64})
    with pytest.raises(
        UserError, match=r"swept/run/3 was trained on other demonstrations than .*; choose another `out`"
    ):
        rl.sweep(cfg)


def test_no_steps_are_not_the_steps_of_the_recipe(swept, tmp_path):
    with pytest.raises(UserError, match="`steps` 0"):
        rl.sweep(dataclasses.replace(swept[0], steps=0, out=tmp_path / "other"))


def test_a_signal_while_the_last_step_is_saved_is_no_reason_to_evaluate(swept, tmp_path, monkeypatch):
    cfg = dataclasses.replace(swept[0], out=tmp_path / "other")

    def interrupted(plan, **_):
        with stop_signal():
            signal.raise_signal(signal.SIGTERM)
        return rl.Run(swept[2])

    monkeypatch.setattr(sweeping, "train", interrupted)
    monkeypatch.setattr(sweeping, "evaluate", None)
    with pytest.raises(KeyboardInterrupt) as stop:
        rl.sweep(cfg)
    assert exit_status(stop.value) == 143
