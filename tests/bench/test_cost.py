import types

import pytest
import torch

from robolearn.bench import cost
from robolearn.config import read_json
from robolearn.policies.flow import Flow
from tests.bench.tiny import FLOW, REGRESSION, TASK, write_demos


def test_slope_and_start_are_told_apart(tmp_path, monkeypatch):
    """0.5 s per step and 30 s at the start, beside the reference's 0.25 s; twice in five everything takes long."""
    calls = []

    def seconds(task, row, steps, data, device):
        calls.append(row.name)
        start, step = {"regression": (30.0, 0.5), "flow": (0.0, 0.25)}[row.name]
        disturbed = 50.0 * (len(calls) <= 8)
        return start + disturbed, 2 + step * steps + disturbed

    monkeypatch.setattr(cost, "training_seconds", seconds)
    found = cost.measure_cost(TASK, REGRESSION, tmp_path, torch.device("cpu"))
    assert (found.step_s, found.start_s) == pytest.approx((0.5, 30))
    assert (found.cost.step, found.cost.start) == pytest.approx((2, 120))
    assert calls == ["regression", "regression", "flow", "flow"] * 5  # alternating
    assert found.seconds["flow"]["450"][-1] == (0, 114.5)


def test_a_cost_is_kept_with_its_command_beside_the_row(tmp_path, monkeypatch):
    monkeypatch.setattr(cost, "training_seconds", lambda task, row, steps, *_: (0.0, 0.01 * steps))
    line = cost.keep_cost(TASK, REGRESSION, tmp_path, tmp_path / "runs", torch.device("cpu"))
    assert line == "tiny regression: a step costs 1.000 of flow's, the start 0 of them"
    kept = read_json(tmp_path / "runs/tiny/regression/cost.json")
    assert kept["cost"] == pytest.approx({"step": 1, "start": 0})
    assert kept["seconds"]["regression"]["150"] == [[0, 1.5]] * 5
    assert {"command", "commit", "hardware"} <= set(kept["facts"])


def test_beginnings_are_timed_apart(tmp_path, monkeypatch):
    """By a made-up clock: 5 s when the player begins, 2 s in the steps."""
    now = [0.0]

    def pass_by(seconds):
        now[0] += seconds

    def fit(state, *_):
        state.policy.family.begin("policy")
        pass_by(2.0)
        return True

    monkeypatch.setattr(Flow, "begin", lambda *_: pass_by(5.0))
    monkeypatch.setattr(cost, "fit", fit)
    monkeypatch.setattr(cost, "time", types.SimpleNamespace(process_time=lambda: now[0], perf_counter=None))
    assert cost.training_seconds(TASK, FLOW, 2, write_demos(tmp_path), torch.device("cpu")) == (5, 2)


def test_an_interrupted_measurement_stops(tmp_path, monkeypatch):
    monkeypatch.setattr(cost, "fit", lambda *args: False)
    with pytest.raises(KeyboardInterrupt):
        cost.training_seconds(TASK, FLOW, 2, write_demos(tmp_path), torch.device("cpu"))
