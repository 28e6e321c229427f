"""From result.json to the tables: which setting, compared with what, and what is said about it."""

import dataclasses
import json

import numpy as np
import pytest

from robolearn.bench.gather import gather
from robolearn.bench.plot import color_of
from robolearn.bench.results import write_results
from robolearn.bench.rows import Row, Setting
from robolearn.bench.unit import Unit
from robolearn.policies.diffusion import DiffusionConfig
from robolearn.policies.gmm import GMMConfig
from robolearn.stats.bootstrap import grouped_mean
from robolearn.stats.entropy import expected_mode_entropy
from tests.bench.tiny import FLOW, REGRESSION, TASK, measured, result

ALL, HALF, NONE = np.ones((2, 6)), np.tile([1, 1, 1, 0, 0, 0], (2, 1)), np.zeros((2, 6))
BOTH_WAYS = np.tile([0, 1], (2, 3))
DIFFUSION = Row("diffusion", DiffusionConfig(), (Setting("ddpm"),))
ROWS = (REGRESSION, DIFFUSION, FLOW)
EIGHT = {"euler-5": measured(ALL, BOTH_WAYS, nfe=5), "euler-1": measured(NONE, nfe=1)}


@pytest.fixture
def put(tmp_path):
    """Write a result as if a unit had been done."""

    def put(row, seed, settings, budget="compute", **kwargs):
        unit = Unit(TASK, row, budget, seed, tmp_path / "runs")
        unit.begin()
        unit.write(result(settings, **kwargs))

    return put


def entries(tmp_path, task=TASK):
    groups = gather([task], ROWS, tmp_path / "runs")
    return groups[0], {entry.row: entry for entry in groups[0].entries}


def test_setting_is_chosen_on_the_selection_episodes(tmp_path, put):
    good, bad = measured(ALL, BOTH_WAYS), measured(HALF, BOTH_WAYS)
    put(
        FLOW,
        0,
        {"euler-5": measured(HALF, BOTH_WAYS, selection=good), "euler-1": measured(ALL, BOTH_WAYS, selection=bad)},
    )
    entry = entries(tmp_path)[1]["flow"]
    assert entry.best.setting == "euler-5"  # euler-1 is better on the evaluation episodes, which must not matter
    assert entry.best.numbers.success.value == 0.5


def test_coverage_counts_in_the_choice_and_the_fewest_evaluations_win_a_tie(tmp_path, put):
    one_way, both = measured(ALL, nfe=5), measured(ALL, BOTH_WAYS, nfe=1)
    put(FLOW, 0, {"euler-5": one_way, "euler-1": both})
    assert entries(tmp_path)[1]["flow"].best.setting == "euler-1"
    put(FLOW, 0, {"euler-5": both | {"nfe": 5}, "euler-1": both})
    assert entries(tmp_path)[1]["flow"].best.setting == "euler-1"


def test_differences_are_from_the_best_many_step_row_over_common_seeds(tmp_path, put):
    for seed in (0, 1):
        put(FLOW, seed, EIGHT)
        put(DIFFUSION, seed, {"ddpm": measured(HALF, nfe=100, energy=0.3)})
    put(REGRESSION, 1, {"default": measured(HALF)})
    put(REGRESSION, 2, {"default": measured(ALL)})  # flow has no seed 2
    group, by_row = entries(tmp_path)
    assert group.baseline == "flow"
    assert by_row["flow"].difference == {}
    assert by_row["regression"].difference["success"].value == -0.5
    assert by_row["diffusion"].difference["energy"].value == pytest.approx(0.2)
    assert by_row["diffusion"].difference["mode_entropy"].value == -1


def test_numbers_are_over_all_seeds(tmp_path, put):
    put(REGRESSION, 0, {"default": measured(ALL)}, cpu_s=100)
    put(REGRESSION, 1, {"default": measured(NONE)}, cpu_s=140)
    put(FLOW, 0, EIGHT, cpu_s=200)
    entry = entries(tmp_path)[1]["regression"]
    assert (entry.seeds, entry.best.numbers.success.value, entry.cpu_s) == ((0, 1), 0.5, 120)
    assert entry.best.numbers.success.n == 24
    assert (entry.best.numbers.success.low, entry.best.numbers.success.high) == (0, 1)  # the seeds disagree
    assert entry.relative_compute == 0.5  # over seed 0, the common one
    assert entry.best.numbers.divergence is None  # one seed has no success
    assert entry.best.numbers.expert_entropy == expected_mode_entropy(np.array([0.5, 0.5]), 6)


def test_all_successes_have_an_interval(tmp_path, put):
    put(FLOW, 0, EIGHT)
    success = entries(tmp_path)[1]["flow"].best.numbers.success
    assert success.value == success.high == 1
    assert 0.7 < success.low < 0.9  # Wilson's of 12 of 12


def test_incomplete_results_do_not_show(tmp_path, put):
    put(FLOW, 0, {"euler-5": EIGHT["euler-5"]})
    assert write_results(tmp_path / "out", [TASK], ROWS, tmp_path / "runs").startswith("nothing is finished")
    put(REGRESSION, 0, {"default": measured(ALL)})
    assert list(entries(tmp_path)[1]) == ["regression"]


def test_without_modes_the_score_decides(tmp_path, put):
    put(FLOW, 0, {"euler-5": measured(HALF, nfe=5), "euler-1": measured(ALL)})
    path = tmp_path / "runs" / "tiny" / "flow" / "compute" / "0" / "result.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"modes": None}))
    entry = entries(tmp_path)[1]["flow"]
    assert (entry.best.setting, entry.best.merit, entry.best.numbers.mode_entropy) == ("euler-1", 1, None)


def test_files(tmp_path, put):
    note = dataclasses.replace(TASK, note="half the steps")
    put(FLOW, 0, EIGHT)
    put(DIFFUSION, 0, {"ddpm": measured(HALF, nfe=100)})
    unit = Unit(TASK, REGRESSION, "compute", 0, tmp_path / "runs")
    unit.begin()
    unit.write({"failed": "step 7: the loss is not finite"})
    out = tmp_path / "docs" / "triangle"
    assert "triangle.md" in write_results(out, [note], ROWS, tmp_path / "runs")
    page = out.with_suffix(".md").read_text()
    assert "| flow¹²³ | euler-5 | 5 | 1.000 [0.758, 1.000] |" in page
    assert "¹ 1 of 3 training seeds; ² 12 of 200 episodes per seed; ³ half the steps." in page
    assert "Trainings without a result: regression seed 0: step 7: the loss is not finite." in page
    assert "| diffusion | -0.500 [-0.500, -0.500] |" in page
    assert "| flow | euler-1 |  | 0.000 | 1 |" in page
    assert "![Quality, coverage and speed of every row](triangle.png)" in page
    assert {
        len(line.split("|")) for line in page.split("## tiny")[1].split("Sized")[0].splitlines() if "|" in line
    } == {15}
    data = json.loads(out.with_suffix(".json").read_text())
    assert data[0]["entries"][1]["settings"][0]["numbers"]["success"]["value"] == 1
    assert out.with_suffix(".png").read_bytes().startswith(b"\x89PNG")


def test_colors_tell_few_evaluations_from_many():
    assert color_of(1) == color_of(2) != color_of(3) == color_of(9) != color_of(10) == color_of(100)


def verdicts(tmp_path, rows=ROWS):
    return {one.row: one for one in gather([TASK], rows, tmp_path / "runs")[0].verdicts}


def test_one_evaluation_is_judged_against_the_best_many_step_row(tmp_path, put):
    for seed in (0, 1):
        put(FLOW, seed, EIGHT)
        put(REGRESSION, seed, {"default": measured(ALL, BOTH_WAYS)})
    assert list(verdicts(tmp_path)) == ["regression"]  # flow's best setting takes five
    same = verdicts(tmp_path)["regression"]
    assert (same.success.value, same.entropy_share.value, same.latency_share.value) == (0, 1, 1)
    assert same.outcomes == {"success": "shown", "entropy": "shown", "latency": "shown", "KL": "shown"}
    assert (same.outcome, same.together) == ("shown", 1)
    for seed in (0, 1):
        put(REGRESSION, seed, {"default": measured(ALL)})
    one_way = verdicts(tmp_path)["regression"]
    assert one_way.entropy_share.value == 0
    assert {name for name, found in one_way.outcomes.items() if found == "missed"} == {"entropy", "KL"}
    assert (one_way.outcome, one_way.together) == ("missed", 0)
    for seed in (0, 1):
        put(REGRESSION, seed, {"default": measured(HALF, BOTH_WAYS)})
    assert verdicts(tmp_path)["regression"].outcomes["success"] == "missed"


def test_targets_that_hold_by_value_alone_are_not_shown(tmp_path, put):
    """One of two training seeds fails: the mean is at the margin, the interval on both sides of it."""
    for seed in (0, 1):
        put(FLOW, seed, {"euler-5": measured(HALF, BOTH_WAYS, nfe=5), "euler-1": measured(NONE)})
    put(REGRESSION, 0, {"default": measured(ALL, BOTH_WAYS)})
    put(REGRESSION, 1, {"default": measured(NONE, BOTH_WAYS)})
    found = verdicts(tmp_path)["regression"]
    assert found.success.value == 0
    assert found.outcomes["success"] == "not shown"
    assert found.outcome == "not shown"
    # Both seeds drawn good in 1 of 4, one of each in 2 of 4; entropy holds with both good alone.
    assert found.together == pytest.approx(0.25, abs=0.03)


def test_a_slow_forward_pass_misses_its_target(tmp_path, put):
    slow = Row("gmm", GMMConfig(), (Setting("default"),))
    for seed in (0, 1):
        put(FLOW, seed, EIGHT)
        put(REGRESSION, seed, {"default": measured(ALL, BOTH_WAYS)})
        put(slow, seed, {"default": measured(ALL, BOTH_WAYS) | {"p50_ms": 0.7}})
    found = verdicts(tmp_path, (*ROWS, slow))
    assert {name: one.outcome for name, one in found.items()} == {"regression": "shown", "gmm": "missed"}
    assert found["gmm"].latency_share.value == pytest.approx(1.4)
    assert found["gmm"].outcomes["latency"] == "missed"
    put(slow, 0, {"default": measured(ALL, BOTH_WAYS) | {"p50_ms": 0.6}})
    assert verdicts(tmp_path, (*ROWS, slow))["gmm"].outcomes["latency"] == "not shown"  # 1.2 with one seed
    without = verdicts(tmp_path, (DIFFUSION, FLOW, slow))["gmm"]
    assert without.latency_share is None
    assert "latency" not in without.outcomes


def test_a_latency_measured_once_shows_nothing(tmp_path, put):
    put(FLOW, 0, EIGHT)
    put(REGRESSION, 0, {"default": measured(ALL, BOTH_WAYS)})
    found = verdicts(tmp_path)["regression"]
    assert (found.latency_share.value, found.outcomes["latency"], found.outcome) == (1, "not shown", "not shown")
    write_results(tmp_path / "out", [TASK], ROWS, tmp_path / "runs")
    assert "1.00 [no interval]: not shown" in (tmp_path / "out.md").read_text()
    assert "Infinity" not in (tmp_path / "out.json").read_text()


def test_training_seeds_are_compared_with_themselves(tmp_path, put):
    """Seed 0 is easy for both rows, seed 1 hard for both: paired, the difference is the same in every resample."""
    for seed, success in ((0, ALL), (1, HALF)):
        put(FLOW, seed, {"euler-5": measured(success, BOTH_WAYS, nfe=5), "euler-1": measured(NONE)})
        put(REGRESSION, seed, {"default": measured(success, BOTH_WAYS)})
    found = verdicts(tmp_path)["regression"]
    assert (found.success.low, found.success.high) == (0, 0)
    assert (found.entropy_share.low, found.entropy_share.high) == (1, 1)
    assert found.divergence.low == found.divergence.high == 0


def test_nobody_is_judged_without_a_many_step_row(tmp_path, put):
    put(REGRESSION, 0, {"default": measured(ALL)})
    group = gather([TASK], ROWS, tmp_path / "runs")[0]
    assert (group.verdicts, group.chosen_again) == ((), None)


def test_how_often_the_same_row_is_chosen_again(tmp_path, put):
    """Two seeds, two states: flow is good with seed 0, diffusion fair from state 0; both else without a success.

    Merits: flow 1, 1/4 or 0 with both, one or none of its draws good; diffusion 1/3, 1/12 or 0. flow is ahead with both
    seeds good, a quarter of the resamples, and with one (a half) unless both of the other's states are good.
    """
    good, bad = measured(ALL, BOTH_WAYS, nfe=5), measured(NONE, nfe=5)
    fair = measured(np.array([[1, 0, 0, 0, 0, 1], [0] * 6]), BOTH_WAYS, nfe=100)
    for seed, of_flow in ((0, good), (1, bad)):
        put(FLOW, seed, {"euler-5": of_flow, "euler-1": measured(NONE)})
        put(DIFFUSION, seed, {"ddpm": fair})
    group = gather([TASK], ROWS, tmp_path / "runs")[0]
    assert group.baseline == "flow"
    assert group.chosen_again == pytest.approx(1 / 4 + 1 / 2 * 3 / 4, abs=0.03)


def test_more_entropy_than_the_demonstrators_earns_nothing(tmp_path, put):
    """The demonstrators nearly always go one way; a policy that goes both ways equally often is not better."""
    alike, even = measured(ALL, np.tile([0, 0, 0, 0, 0, 1], (2, 1)), nfe=5), measured(ALL, BOTH_WAYS, nfe=9)
    put(FLOW, 0, {"euler-5": alike, "euler-1": even}, modes=(9, 1))
    entry = entries(tmp_path)[1]["flow"]
    assert [one.merit for one in entry.settings] == [1, 1]
    assert entry.best.setting == "euler-5"


def test_differences_pair_a_training_seed_with_itself(tmp_path, put):
    """Both rows succeed with seed 1 and fail with seed 0: paired, they do not differ, with certainty."""
    for seed, success in ((0, NONE), (1, ALL)):
        put(FLOW, seed, {"euler-5": measured(success, BOTH_WAYS, nfe=5), "euler-1": measured(NONE, nfe=1)})
        put(REGRESSION, seed, {"default": measured(success)})
    difference = entries(tmp_path)[1]["regression"].difference["success"]
    assert (difference.low, difference.value, difference.high) == (0, 0, 0)


def test_differences_are_over_the_seeds_that_both_have(tmp_path, put):
    for row, seed, success in ((FLOW, 0, NONE), (FLOW, 1, ALL), (REGRESSION, 1, ALL), (REGRESSION, 2, NONE)):
        put(row, seed, {setting.name: measured(success, BOTH_WAYS, nfe=5 * (row is FLOW)) for setting in row.settings})
    group, by_row = entries(tmp_path)
    assert group.baseline == "flow"
    assert by_row["regression"].difference["success"].value == 0


def test_one_slow_training_seed_does_not_move_the_latency(tmp_path, put):
    for seed, p50, p99 in ((0, 1.0, 2.0), (1, 9.0, 90.0), (2, 2.0, 3.0)):
        put(REGRESSION, seed, {"default": measured(ALL) | {"p50_ms": p50, "p99_ms": p99}})
    best = entries(tmp_path)[1]["regression"].best
    assert (best.p50_ms, best.p99_ms) == (2, 3)


def test_three_seeds_are_enough(tmp_path, put):
    for seed in range(3):
        put(REGRESSION, seed, {"default": measured(ALL)})
    assert entries(tmp_path)[1]["regression"].sized_down == ("12 of 200 episodes per seed",)


def test_every_training_seed_has_held_out_episodes_of_its_own(tmp_path, put):
    """What the seeds show is not resampled as if column c were the same episode for both."""
    energy = np.linspace(0, 1, 8)
    for seed, values in ((0, energy), (1, 1 - energy)):
        put(REGRESSION, seed, {"default": measured(ALL) | {"energy": values.tolist()}})
    found = entries(tmp_path)[1]["regression"].best.numbers.energy
    values = np.stack([energy, 1 - energy])
    assert found == grouped_mean(values, shared_groups=False) != grouped_mean(values)
