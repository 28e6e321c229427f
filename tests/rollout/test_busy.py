"""How long threads waited for a core, of files that Linux would have, and what is said of it."""

import sys
import types

import pytest

from robolearn.rollout import busy, latency
from robolearn.rollout.busy import CoreWait, busy_remark, waits

TIMES = {"p50_ms": 208.4, "p99_ms": 300.0, "cpu_ms": 7.21}


@pytest.fixture
def threads(monkeypatch, tmp_path):
    """Writes what the system counts of threads: name -> nanoseconds on a core and waiting for one."""
    monkeypatch.setattr(busy, "THREADS", tmp_path)

    def write(**counts):
        for name, (on_core, waited) in counts.items():
            (tmp_path / name).mkdir(exist_ok=True)
            (tmp_path / name / "schedstat").write_text(f"{on_core} {waited} 3\n")

    return write


def at(monkeypatch, *moments):
    now = iter(moments)
    monkeypatch.setattr(busy, "time", types.SimpleNamespace(perf_counter=lambda: next(now)))


def test_the_thread_that_waited_most_counts(monkeypatch, threads):
    """Within 2 s: half a second, a tenth, and a fifth of a second by a thread that is new."""
    at(monkeypatch, 100.0, 102.0)
    threads(one=(5_000_000_000, 1_000_000_000), two=(10, 7_000_000_000))
    wait = CoreWait()
    threads(one=(6_000_000_000, 1_500_000_000), two=(20, 7_100_000_000), three=(1, 200_000_000))
    assert wait.share() == pytest.approx(0.25)


def test_nothing_is_known_where_nobody_counts(monkeypatch, threads, tmp_path):
    """Neither where there are no such files, nor where they hold zeros or something else."""
    at(monkeypatch, *range(10))
    assert waits() == {}
    assert CoreWait().share() is None
    threads(one=(0, 0))
    (tmp_path / "two").mkdir()
    (tmp_path / "three").mkdir()
    (tmp_path / "three" / "schedstat").write_text("not counted\n")
    assert waits() == {}
    assert CoreWait().share() is None


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux counts")
def test_this_system_counts_threads_or_says_nothing():
    assert all(waited >= 0 for waited in waits().values())


def test_a_busy_machine_is_named_in_one_sentence():
    said = (
        "measured on a busy machine: planning took 208 ms by the clock in the median, 7.21 ms of CPU time, "
        "and all of it waited for a core"
    )
    assert busy_remark(TIMES | {"waited": 0.96}) == f"{said} 96% of the time"
    gate = {f"gate_{name}": value for name, value in (TIMES | {"waited": 0.1}).items()}
    assert str(busy_remark(gate, "the gate", "gate_")).startswith("measured on a busy machine: the gate took 208 ms")


@pytest.mark.parametrize("times", [TIMES, TIMES | {"waited": 0.09}, TIMES | {"waited": None}, {"waited": 0.9}, {}])
def test_nothing_is_said_of_a_quiet_or_unknown_machine(times):
    """Wall time above CPU time is no sign of others: with a GPU it is so by itself."""
    assert busy_remark(times) is None


def test_times_come_with_those_of_the_processor_and_the_wait(monkeypatch, threads):
    """Calls of 1 ms of CPU time and 4 ms by the clock; the waiting of the warm-up does not count."""
    clock, cpu, calls = [0.0], [0.0], []
    now = types.SimpleNamespace(perf_counter=lambda: clock[0], process_time=lambda: cpu[0])
    monkeypatch.setattr(latency, "WARM_UP", 10)
    monkeypatch.setattr(latency, "time", now)
    monkeypatch.setattr(busy, "time", now)

    def call():
        calls.append(1)
        clock[0] += 0.004
        cpu[0] += 0.001
        threads(one=(1, 1_000_000 * len(calls) + 10**9 * (len(calls) >= 5)))  # 1 ms each, and once a second

    threads(one=(1, 0))
    times = latency.time_calls(call, 20)
    assert times == pytest.approx({"p50_ms": 4, "p99_ms": 4, "cpu_ms": 1, "waited": 0.25})
