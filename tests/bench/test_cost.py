import types

import pytest
import torch

from robolearn.bench import cost
from robolearn.policies.flow import Flow
from tests.bench.tiny import FLOW, REGRESSION, TASK, write_demos


def test_slope_and_start_are_told_apart(tmp_path, monkeypatch):
    """0.5 s per step and 30 s at the start, beside the reference's 0.25 s; once in three everything takes long."""
    calls = []

    def seconds(task, row, steps, data, device):
        calls.append(row.name)
        start, step = {"regression": (30, 0.5), "flow": (0, 0.25)}[row.name]
        disturbed = 50 * (len(calls) <= 4)
        return start + disturbed, 2 + step * steps + disturbed

    monkeypatch.setattr(cost, "training_seconds", seconds)
    found = cost.measure_cost(TASK, REGRESSION, tmp_path, torch.device("cpu"))
    assert (found.step_s, found.start_s) == pytest.approx((0.5, 30))
    assert (found.cost.step, found.cost.start) == pytest.approx((2, 120))
    assert calls == ["regression", "regression", "flow", "flow"] * 3  # alternating


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
