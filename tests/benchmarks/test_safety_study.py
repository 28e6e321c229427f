"""The safety study: what is kept of episodes, what is computed from it, and that what is published is that."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.safety.__main__ import figures, make_page
from benchmarks.safety.detection import RULES
from benchmarks.safety.gate_figures import gate_figures
from benchmarks.safety.gates import BUDGETS, late, shuffle
from benchmarks.safety.kept import compressed, condensed, decompressed, pack, read
from benchmarks.safety.raw import KEPT, Episodes, Raw, load_unit, save_unit, shortened
from benchmarks.safety.sets import MOVED
from benchmarks.safety.study import BIAS, EXECUTION, FIRST, SCORES, TASKS, Study
from benchmarks.safety.units import Unit, do_units
from benchmarks.safety.watched import training_units, watched
from robolearn.types import INTERVENING, Trajectory

ROOT = Path(__file__).parents[2]


def make_episodes(rng, success, plans, intervening=None, scores=(), errors=None) -> Episodes:
    success, plans = np.asarray(success, bool), np.asarray(plans, np.uint16)
    total = int(plans.sum())
    on = np.zeros(total, bool) if intervening is None else np.concatenate(intervening)
    return Episodes(
        success,
        failure=~success,
        length=(plans * EXECUTION.period - 3).astype(np.uint16),
        plans=plans,
        intervening=on,
        scores={name: rng.random(total).astype(np.float32) for name in scores},
        errors=errors,
    )


def made_up(count: int = 40, seeds: int = 2) -> Raw:
    """A whole study of Avoid, in numbers that mean nothing."""
    rng, arrays = np.random.default_rng(0), {}

    def add(unit: str, **named: object) -> None:
        for name, value in named.items():
            fields = value.arrays() if isinstance(value, Episodes) else None
            kept = {f"{unit}/{name}": np.asarray(value)} if fields is None else {}
            arrays.update(kept | {f"{unit}/{name}/{key}": array for key, array in (fields or {}).items()})
        arrays[f"{unit}/made"] = np.asarray("by hand")

    def some(scores=(), errors=False, on=False) -> Episodes:
        success = np.arange(count) % 4 != 0
        plans = rng.integers(3, 9, count)
        parts = [rng.random(n) < 0.3 for n in plans] if on else None
        return make_episodes(rng, success, plans, parts, scores, rng.random((count, 8)) if errors else None)

    for seed in range(seeds):
        wanted = [("none", "calibration"), (BIAS, "calibration"), (BIAS, "selection")]
        for shift, purpose in [*wanted, *((shift, "evaluation") for shift in ("none", *TASKS["avoid"].shifts))]:
            name = watched("avoid", seed, shift, purpose)
            arrays |= {f"{name}/{key}": value for key, value in some(SCORES).arrays().items()}
            arrays[f"{name}/made"] = np.asarray("by hand")
    add("gates/avoid/ends", never=some(), always=some(on=True))
    for budget in BUDGETS:
        add(f"gates/avoid/{budget}/gate", gate=some(on=True), random=some(on=True), threshold=1.0)
        add(f"gates/avoid/{budget}/time", time=some(on=True), replanning=3)
    for shift in ("none", "sensor_bias"):
        for fallback in ("watch", "hold"):
            arrays |= {f"fallbacks/avoid/{shift}/{fallback}/{k}": v for k, v in some(on=True).arrays().items()}
            arrays[f"fallbacks/avoid/{shift}/{fallback}/made"] = np.asarray("by hand")
    add("dagger/avoid/recorded", recorded=12, **{"with": some(on=True)})
    for seed in range(seeds):
        add(f"dagger/avoid/after/{seed}", none=some(), sensor_bias=some())
    add("tubes/avoid", scale=np.linspace(0.1, 1, 8), calibration=some(errors=True), new=some(errors=True))
    for moved in MOVED:
        names = ("one sample", "nearest of 32", "without radius")
        with_tube = {name: some(errors=True) for name in ("set", "set, calibrated anew")}
        tubes = {
            "scale": np.ones(8),
            "height": 0.9,
            "scale anew": np.ones(8),
            "height anew": 0.95,
            "rounds": 2,
            "confirmed": True,
        }
        add(f"sets/{moved}", **{name: some() for name in names}, **with_tube, **tubes)
    add("cost", policy=np.array([1.0, 2.0]), **{name: np.array([3.0, 4.0]) for name in SCORES})
    return Raw(arrays)


def test_every_part_of_the_page_is_made_from_raw_episodes(tmp_path):
    make_page(made_up(), ("avoid",), tmp_path / "safety")
    page = (tmp_path / "safety.md").read_text()
    assert page.count("\n## ") == 9
    assert "by hand" in page
    assert (tmp_path / "safety.png").stat().st_size > 10_000
    written = json.loads((tmp_path / "safety.json").read_text())
    assert set(written["alarms"]["avoid"]["rules"]) == set(RULES)
    assert written["detection"]["avoid"][BIAS]["failures"] == [20, 20]


def test_false_alarms_are_counted_on_seeds_that_were_not_calibrated_on():
    raw = made_up()
    before = figures(raw, ("avoid",))["alarms"]["avoid"]["scores"]["rnd"]
    unit = watched("avoid", 0, "none", "evaluation")
    higher = Raw({**raw, f"{unit}/rnd": raw[f"{unit}/rnd"] + 2})
    after = figures(higher, ("avoid",))["alarms"]["avoid"]["scores"]["rnd"]
    assert after[0] == 1.0
    assert after[1] == before[1]


def test_purposes_share_no_seeds():
    study, ends = Study(), []
    sizes = {"selection": study.tuning, "tuning": study.tuning, "interventions": study.recorded}
    sizes |= {"tube": study.tube_calibration, "set": study.tube_calibration, "evaluation": study.set_episodes}
    for purpose, first in sorted(FIRST.items(), key=lambda item: item[1]):
        assert not ends or ends[-1] <= first, purpose
        ends.append(first + sizes.get(purpose, study.episodes))


def test_kept_episodes_come_back_as_they_were(tmp_path):
    rng = np.random.default_rng(0)
    scores = [rng.random(3), rng.random(2)]
    trajectories = [
        Trajectory(
            i,
            i,
            {},
            np.zeros((n, 2)),
            np.zeros(n),
            np.zeros(n),
            bool(i),
            0,
            "time" if i else "failure",
            {"rnd": scores[i], INTERVENING: np.arange(len(scores[i])) == 1},
        )
        for i, n in enumerate((20, 12))
    ]
    save_unit(tmp_path, "part/one", {"runs": Episodes.from_trajectories(trajectories), "number": 3})
    episodes = load_unit(tmp_path, "part/one").episodes("part/one/runs")
    assert episodes.success.tolist() == [False, True]
    assert episodes.failure.tolist() == [True, False]
    assert episodes.intervened().tolist() == [8, 4]  # the second intervention is cut by the end of its episode
    assert episodes.intervened_share() == 12 / 32
    assert np.isnan(episodes.padded("rnd")[1, 2])
    np.testing.assert_allclose(episodes.padded("rnd")[0], scores[0], rtol=2**-12)
    assert int(load_unit(tmp_path, "part/one")["part/one/number"]) == 3
    assert pack(tmp_path, tmp_path / "raw.xz") == 1
    raw = read(tmp_path / "raw.xz")
    assert raw.episodes("part/one/runs").intervened().tolist() == [8, 4]
    assert int(raw["part/one/number"]) == 3
    assert "part/one/runs/rnd" not in raw  # no figure is of it


def test_what_is_kept_gives_the_figures_that_all_episodes_give():
    raw = made_up()
    kept = decompressed(compressed(condensed(raw)))
    assert figures(Raw(kept), ("avoid",)) == figures(raw, ("avoid",))
    assert sum(a.nbytes for a in kept.values()) < 0.8 * sum(a.nbytes for a in raw.values())


def test_the_kept_file_gives_arrays_back_to_the_last_bit():
    rng = np.random.default_rng(0)
    arrays = {
        "a/made": np.asarray("by hand"),
        "a/x": rng.normal(size=(3, 2)).astype(np.float32),
        "b/x": np.array([np.nan, np.nan, -0.0, 0.0], np.float32),
        "a/n": np.asarray(3),
        "b/n": np.asarray(2.5),
        "a/on": np.array([True, True, False]),
        "b/on": np.zeros(0, bool),
        "b/nothing": np.zeros(0),
        "c/x": np.repeat(rng.integers(0, 9, 5), 4).astype(np.uint16),
    }
    data = compressed(arrays)
    back = decompressed(data)
    assert list(back) == list(arrays)
    for key, array in arrays.items():
        assert (back[key].dtype, back[key].shape) == (array.dtype, array.shape), key
        assert back[key].tobytes() == array.tobytes(), key
    assert compressed(back) == data


def test_kept_scores_have_twelve_binary_digits():
    values = np.array([1 / 3, -1e-9, 12345.678, 0.0])
    kept = shortened(values)
    np.testing.assert_allclose(kept, values, rtol=2**-12)
    assert not (kept.view(np.uint32) & 0xFFF).any()


def test_whole_failures_stay_within_the_budget():
    rng, raw = np.random.default_rng(0), dict(made_up())
    never = make_episodes(rng, [False, True, False, False], [10, 4, 10, 10])
    always = make_episodes(rng, [True] * 4, [4] * 4, [np.ones(4, bool)] * 4)
    for name, episodes in (("never", never), ("always", always)):
        raw |= {f"gates/avoid/ends/{name}/{key}": value for key, value in episodes.arrays().items()}
    rows = gate_figures(Raw(raw), ("avoid",))["avoid"]["budgets"]
    helped = {row["budget"]: row["whole failures"] for row in rows}
    # One episode helped: 29 of 212 steps are the expert's; two: 58 of 164; three: 87 of 116.
    assert helped[0.1]["success"] == 0.25
    assert helped[0.2]["success"] == 0.5
    assert helped[0.2]["intervened"] == 29 / (29 + 29 + 77 + 77)
    assert helped[0.4]["success"] == 0.75


def test_random_interventions_are_as_many_and_as_long():
    rng = np.random.default_rng(0)
    on = [np.array([0, 1, 1, 0, 1], bool), np.zeros(5, bool), np.ones(5, bool)]
    gate, never = make_episodes(rng, [True] * 3, [5] * 3, on), make_episodes(rng, [True] * 3, [9] * 3)
    plans = shuffle(gate, never)
    assert sum(plan.sum() for plan in plans.values()) == 8
    assert {episode: len(plan) for episode, plan in plans.items()} == {0: 9, 1: 9, 2: 9}


def test_elapsed_time_intervenes_from_its_replanning_on():
    plan = late(2, 3).keywords
    assert plan["plan"][1].tolist() == [False] * 3
    assert plan["otherwise"]


def test_a_training_that_was_stopped_is_not_done(tmp_path):
    study = Study(root=tmp_path, tasks=("insert",), num_seeds=1)
    unit = training_units(study, 0)[0]
    checkpoints = tmp_path / "insert" / "0" / "checkpoints"
    (checkpoints / "00001234").mkdir(parents=True)
    (checkpoints / "last").symlink_to("00001234")
    assert not unit.done(study)
    (checkpoints / f"{TASKS['insert'].steps:08d}").mkdir()
    assert unit.done(study)


def double(study, name):
    return {"value": 2}


def break_down(study):
    raise ValueError("broken")


@pytest.mark.long
def test_a_unit_that_fails_stops_only_those_that_need_it(tmp_path, capfd):
    from functools import partial

    units = [
        Unit("a", partial(double, name="a")),
        Unit("b", break_down),
        Unit("c", partial(double, name="c"), ("b",)),
        Unit("d", partial(double, name="d"), ("a",)),
    ]
    assert do_units(Study(root=tmp_path), units, 1) == ["b", "c"]
    assert "broken" in capfd.readouterr().out
    assert int(load_unit(tmp_path, "d")["d/value"]) == 2
    assert do_units(Study(root=tmp_path), units[:1], 1) == []  # done before


@pytest.mark.long
def test_what_is_published_is_what_the_raw_episodes_give(tmp_path):
    raw = read(ROOT / KEPT)
    make_page(raw, tuple(TASKS), tmp_path / "safety")
    for name in ("safety.json", "safety.md"):
        assert (tmp_path / name).read_text() == (ROOT / "docs" / "results" / name).read_text(), name
