"""What the ranking study judges, and what it is held against."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import simulator
from benchmarks.lecture import simulated, targets
from robolearn.simulator.accuracy import ENSEMBLE, PERSISTENCE, SIMULATOR
from robolearn.stats.ranks import kendall

REAL = np.linspace(0, 1, 16)
SWAPPED = REAL[[1, 0, *range(2, 16)]]


def share(value):
    return {"value": float(value), "low": 0.0, "high": 1.0, "n": 9}


def kept(predicted, recorded=REAL):
    """A simulator's part; policies lie by prediction, best first."""
    rows = [
        {"name": f"p{i}", "predicted": share(p), "real": share(r)}
        for i, (p, r) in enumerate(zip(predicted, REAL, strict=True))
    ]
    scores = {who: {"1": share(0.5)} for who in (SIMULATOR, ENSEMBLE, PERSISTENCE)}
    return {
        "ranking": {"policies": sorted(rows, key=lambda row: -row["predicted"]["value"])},
        "controls": {f"p{i}": {"steps": float(i % 4), "recorded": float(r)} for i, r in enumerate(recorded)},
        "accuracy": {"score": scores},
    }


def test_between_recorded_policies_success_is_linear_and_outside_that_of_the_nearest():
    known = {2000: 0.8, 500: 0.2}
    assert [simulator.between(steps, known) for steps in (100, 500, 1250, 2000, 9000)] == pytest.approx(
        [0.2, 0.2, 0.5, 0.8, 0.8]
    )


def test_taus_are_of_the_same_policies_and_the_mean_is_judged():
    """Parts list policies in another order each."""
    taus = simulator.taus({"0": kept(REAL, SWAPPED), "1": kept(-REAL, SWAPPED), "2": kept(SWAPPED, SWAPPED)})
    values = [taus[f"simulator {seed}"].value for seed in range(3)]
    assert values == pytest.approx([1, -1, 1 - 2 / 120])
    assert taus[simulator.JUDGED].value == pytest.approx(np.mean(values))
    assert taus["training steps"].value == pytest.approx(kendall(np.arange(16.0) % 4, REAL))
    assert taus["recorded episodes"].value == pytest.approx(values[2])
    less = taus[f"{simulator.JUDGED}, less recorded episodes"]
    assert less.value == pytest.approx(np.mean(values) - values[2])


def test_what_is_no_better_than_the_control_is_told_so():
    difference = simulator.taus({"0": kept(SWAPPED, SWAPPED)})[f"{simulator.JUDGED}, less recorded episodes"]
    assert (difference.value, difference.low, difference.high) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("predicted", "said"), [(REAL, "shown"), (-REAL, "missed"), (np.zeros(16), "missed")], ids=["same", "other", "none"]
)
def test_a_task_has_one_verdict_also_where_a_simulator_tells_no_order(predicted, said):
    parts = {f"simulator/avoid/{seed}": kept(predicted if seed else REAL) for seed in range(3)}
    if said == "missed" and predicted.any():
        parts["simulator/avoid/0"] = kept(predicted)
    ((*_, measured, verdict),) = targets(parts)
    assert verdict == said
    assert list(targets({name: part for name, part in parts.items() if not name.endswith("/2")})) == []
    assert (measured == "no order") == (not predicted.any())
    lines = simulated({name.removeprefix("simulator/"): part for name, part in parts.items()})
    assert sum("recorded episodes" in line for line in lines) == 2


@pytest.mark.parametrize(("content", "lines", "done"), [({}, 4, True), ({"partial": {}}, 4, False), ({}, 3, False)])
def test_an_evaluation_that_was_stopped_or_is_smaller_is_made_again(tmp_path, content, lines, done):
    run = SimpleNamespace(directory=tmp_path)
    assert not simulator.is_evaluated(run, 4)
    (tmp_path / "eval").mkdir()
    (tmp_path / "eval/summary.json").write_text(json.dumps(content))
    (tmp_path / "eval/episodes.jsonl").write_text("{}\n" * lines)
    assert simulator.is_evaluated(run, 4) == done
