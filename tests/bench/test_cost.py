import pytest
import torch

from robolearn.bench import cost
from robolearn.bench.cost import Seconds
from robolearn.config import read_json
from robolearn.policies.flow import Flow
from tests.bench.tiny import FLOW, REGRESSION, TASK, write_demos


def test_step_and_start_are_told_apart(tmp_path, monkeypatch):
    """0.5 s per step and 30 s at the start, beside the reference's 0.25 s; once in three everything takes twice."""
    calls = []

    def seconds(task, rows, data, device):
        calls.append([row.name for row in rows])
        slow = 1 + (len(calls) == 2)
        return Seconds(30.0 * slow, 0.5 * cost.STEPS * slow), Seconds(0.0, 0.25 * cost.STEPS * slow)

    monkeypatch.setattr(cost, "training_seconds", seconds)
    measured = cost.measure_cost(TASK, REGRESSION, tmp_path, torch.device("cpu"))
    assert (measured.step_s, measured.start_s) == pytest.approx((0.5, 30))
    assert (measured.cost.step, measured.cost.start) == pytest.approx((2, 120))
    assert calls == [["regression", "flow"]] * 3
    assert measured.seconds["flow"][1] == Seconds(0.0, 0.5 * cost.STEPS)


def test_what_slows_the_machine_down_slows_both(tmp_path, monkeypatch):
    """Each step takes 5 % longer than the one before; one training after the other would show 1.2 instead of 1.5."""
    now, pace = [0.0], [1.0]

    def advance(state, *_):
        now[0] += pace[0] * (1.0 if isinstance(state.policy.family, Flow) else 1.5)
        pace[0] *= 1.05
        state.step += 1

    monkeypatch.setattr(cost, "begin", lambda *_, **__: None)
    monkeypatch.setattr(cost, "advance", advance)
    monkeypatch.setattr(cost, "clock", lambda device: now[0])
    ours, theirs = cost.training_seconds(TASK, (REGRESSION, FLOW), write_demos(tmp_path), torch.device("cpu"), 5)
    assert ours.steps / theirs.steps == pytest.approx(1.5, rel=0.06)


def test_a_cost_is_kept_with_its_command_beside_the_row(tmp_path, monkeypatch):
    monkeypatch.setattr(cost, "training_seconds", lambda *_: (Seconds(0.0, 1.5), Seconds(0.0, 1.5)))
    line = cost.keep_cost(TASK, REGRESSION, tmp_path, tmp_path / "runs", torch.device("cpu"))
    assert line == "tiny regression: a step costs 1.000 of flow's, the start 0 of them"
    kept = read_json(tmp_path / "runs/tiny/regression/cost.json")
    assert kept["cost"] == pytest.approx({"step": 1, "start": 0})
    assert kept["seconds"]["regression"] == [{"start": 0, "steps": 1.5}] * 3
    assert {"command", "commit", "hardware"} <= set(kept["facts"])


def test_beginnings_are_timed_apart(tmp_path, monkeypatch):
    """By a made-up clock: 5 s when the player begins, 2 s in each step."""
    now = [0.0]

    def pass_by(seconds):
        now[0] += seconds

    def advance(state, *_):
        pass_by(2.0)
        state.step += 1

    monkeypatch.setattr(Flow, "begin", lambda *_, **__: pass_by(5.0))
    monkeypatch.setattr(cost, "advance", advance)
    monkeypatch.setattr(cost, "clock", lambda device: now[0])
    (seconds,) = cost.training_seconds(TASK, (FLOW,), write_demos(tmp_path), torch.device("cpu"), 3)
    assert seconds == Seconds(5.0, 6.0)


def test_where_no_cost_can_be_written_none_is_measured(tmp_path, monkeypatch):
    monkeypatch.setattr(cost, "measure_cost", None)
    (tmp_path / "tiny").touch()
    with pytest.raises(OSError, match="tiny"):
        cost.keep_cost(TASK, REGRESSION, tmp_path, tmp_path, torch.device("cpu"))
