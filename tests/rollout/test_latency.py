"""The time of a call, by a clock that is made up."""

import itertools
import types

import pytest

from robolearn.rollout import latency


def test_latency_is_the_median_of_the_calls_behind_the_warm_up(monkeypatch):
    """Ten calls of 100 s warm up; then 99 take 1 ms and one 5 s."""
    now, durations = [0.0], itertools.chain([100.0] * 10, [0.001] * 99, [5.0])

    def call():
        now[0] += next(durations)

    monkeypatch.setattr(latency, "time", types.SimpleNamespace(perf_counter=lambda: now[0]))
    times = latency.time_calls(call, 100)
    assert times["p50_ms"] == pytest.approx(1, rel=1e-3)
    assert times["p99_ms"] == pytest.approx(51, rel=0.02)  # numpy's between the last two: 1 + 0.01 * 4999
    assert next(durations, None) is None
