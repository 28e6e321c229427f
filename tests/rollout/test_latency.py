"""The time of a call, by a clock that is made up."""

import itertools
import types

import pytest

from robolearn.rollout import latency


def test_latency_is_the_median_of_the_calls_behind_the_warm_up(monkeypatch):
    """Ten calls of 100 s warm up; then 99 take 1 ms and one 5 s."""
    monkeypatch.setattr(latency, "WARM_UP", 10)
    now, durations = [0.0], itertools.chain([100.0] * 10, [0.001] * 99, [5.0])

    def call():
        now[0] += next(durations)

    monkeypatch.setattr(latency, "time", types.SimpleNamespace(perf_counter=lambda: now[0], process_time=lambda: 0.0))
    times = latency.time_calls(call, 100)
    assert times["p50_ms"] == pytest.approx(1, rel=1e-3)
    assert times["p99_ms"] == pytest.approx(51, rel=0.02)  # numpy's between the last two: 1 + 0.01 * 4999
    assert next(durations, None) is None


def test_calls_take_turns(monkeypatch):
    """The machine is half as fast from the 31st call on: that strikes both calls alike."""
    monkeypatch.setattr(latency, "WARM_UP", 10)
    now, calls = [0.0], []

    def call(name, seconds):
        calls.append(name)
        now[0] += seconds * (1 if len(calls) <= 30 else 2)

    monkeypatch.setattr(latency, "time", types.SimpleNamespace(perf_counter=lambda: now[0], process_time=lambda: 0.0))
    slow, fast = latency.times_in_turn([lambda: call("slow", 0.003), lambda: call("fast", 0.001)], 20)
    assert calls == ["slow", "fast"] * 30
    assert slow["p50_ms"] / fast["p50_ms"] == pytest.approx(3)
