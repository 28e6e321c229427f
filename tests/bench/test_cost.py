import pytest
import torch

from robolearn.bench import cost
from tests.bench.tiny import FLOW, REGRESSION, TASK, write_demos


def test_slope_and_start_are_told_apart(tmp_path, monkeypatch):
    """0.5 s per step and 30 s at the start, beside the reference's 0.25 s; loading takes 2 s in both."""
    seconds = {"regression": lambda n: 32 + 0.5 * n, "flow": lambda n: 2 + 0.25 * n}
    monkeypatch.setattr(cost, "training_seconds", lambda task, row, steps, data, device: seconds[row.name](steps))
    found = cost.measure_cost(TASK, REGRESSION, tmp_path, torch.device("cpu"))
    assert (found.step_s, found.start_s) == pytest.approx((0.5, 30))
    assert (found.step_cost, found.start_cost) == pytest.approx((2, 120))


def test_a_training_is_timed(tmp_path):
    assert cost.training_seconds(TASK, FLOW, 2, write_demos(tmp_path), torch.device("cpu")) > 0
