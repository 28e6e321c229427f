"""From result.json to the tables: which setting, compared with what, and what is said about it."""

import dataclasses
import json
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from robolearn.bench import results
from robolearn.bench.gather import gather
from robolearn.bench.plot import color_of
from robolearn.bench.results import write_results
from robolearn.bench.rows import Row, Setting
from robolearn.bench.unit import Unit
from robolearn.config import write_json
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
    write_json(tmp_path / "runs" / "tiny" / "regression" / "cost.json", {"cost": {"step": 0.0002, "start": 1.2}})
    assert entries(tmp_path)[1]["regression"].relative_compute == pytest.approx(0.8)  # (1.2 + 18000 x 0.0002) of 6
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


def test_several_processes_write_one_after_the_other(tmp_path, put, monkeypatch):
    put(REGRESSION, 0, {"default": measured(ALL)})
    events = []

    def write_plot(path, groups):
        events.append("begun")
        time.sleep(0.2)
        events.append("ended")

    monkeypatch.setattr(results, "write_plot", write_plot)
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda _: write_results(tmp_path / "out", [TASK], ROWS, tmp_path / "runs"), range(2)))
    assert events == ["begun", "ended", "begun", "ended"]
    assert {file.name for file in tmp_path.glob("out*")} == {"out.json", "out.md"}


def silent(one, key):
    """The same, of an environment that tells nothing of success, or has no score."""
    untold = [[None] * len(row) for row in one["evaluation"][key]]
    return one | {part: one[part] | {key: untold} for part in ("evaluation", "selection")}


def written(tmp_path):
    write_results(tmp_path / "out", [TASK], ROWS, tmp_path / "runs")
    return json.loads((tmp_path / "out.json").read_text())[0]


def test_a_score_that_one_row_lacks_is_none_of_any(tmp_path, put):
    put(DIFFUSION, 0, {"ddpm": measured(HALF, nfe=100)}, modes=None)
    put(REGRESSION, 0, {"default": silent(measured(ALL), "score")}, modes=None)
    group = written(tmp_path)
    assert [entry["settings"][0]["numbers"]["score"] for entry in group["entries"]] == [None, None]
    assert [entry["settings"][0]["merit"] for entry in group["entries"]] == [1.0, 0.5]  # of success
    assert group["entries"][0]["difference"].keys() == {"success", "energy", "bridge"}
    assert {match["target"] for match in group["verdicts"][0]["matches"]} == {"success"}
    assert "| regression | default | yes | 1.000 | 1 | 1.000 | - |" in (tmp_path / "out.md").read_text()


def test_success_that_nothing_tells_of_is_no_number(tmp_path, put):
    put(FLOW, 0, {name: silent(one, "success") for name, one in EIGHT.items()})
    (entry,) = written(tmp_path)["entries"]
    numbers = entry["settings"][0]["numbers"]
    assert (numbers["success"], numbers["mode_entropy"], numbers["divergence"]) == (None, None, None)
    assert entry["settings"][0]["merit"] == numbers["score"]["value"] == 1
    assert entry["episodes"] == 12


def test_success_that_is_told_when_it_comes_is_none_elsewhere(tmp_path, put):
    put(FLOW, 0, {"euler-5": measured(HALF, nfe=5), "euler-1": silent(measured(NONE), "success")})
    settings = written(tmp_path)["entries"][0]["settings"]
    assert [one["numbers"]["success"]["value"] for one in settings] == [0.5, 0]


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
    assert "¹ 1 of 5 training seeds; ² 12 of 200 episodes per seed; ³ half the steps." in page
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


def test_one_evaluation_is_judged_against_every_setting_with_many(tmp_path, put):
    for seed in (0, 1):
        put(FLOW, seed, EIGHT)
        put(DIFFUSION, seed, {"ddpm": measured(HALF, BOTH_WAYS, nfe=100)})
        put(REGRESSION, seed, {"default": measured(ALL, BOTH_WAYS)})
    by_row = verdicts(tmp_path)
    assert list(by_row) == ["regression"]  # flow's best setting takes five
    same = by_row["regression"]
    assert {match.rival for match in same.matches} == {"flow euler-5", "diffusion ddpm"}  # euler-1 takes one
    assert [match.difference.value for match in same.matches if match.target == "success"] == [0.5, 0]
    assert (same.seeds, same.speed) == ((0, 1), "shown")


def test_settings_that_a_row_is_not_shown_with_are_rivals_too(tmp_path, put):
    for seed in (0, 1):
        put(FLOW, seed, {"euler-5": EIGHT["euler-5"], "euler-1": measured(HALF, BOTH_WAYS, nfe=9)})
        put(REGRESSION, seed, {"default": measured(ALL, BOTH_WAYS)})
    assert {match.rival for match in verdicts(tmp_path)["regression"].matches} == {"flow euler-5", "flow euler-1"}


def test_a_verdict_is_over_the_training_seeds_of_all_rows(tmp_path, put):
    for seed in (0, 1, 2):
        put(FLOW, seed, EIGHT)
        put(REGRESSION, seed, {"default": measured(ALL, BOTH_WAYS)})
        if seed:
            put(DIFFUSION, seed, {"ddpm": measured(HALF, nfe=100)})
    assert verdicts(tmp_path)["regression"].seeds == (1, 2)


def test_a_slow_forward_pass_misses_its_target(tmp_path, put):
    slow = Row("gmm", GMMConfig(), (Setting("default"),))
    for seed in (0, 1):
        put(FLOW, seed, EIGHT)
        put(REGRESSION, seed, {"default": measured(ALL, BOTH_WAYS)})
        put(slow, seed, {"default": measured(ALL, BOTH_WAYS) | {"p50_ms": 0.7}})
    by_row = verdicts(tmp_path, (*ROWS, slow))
    assert by_row["gmm"].latency_share.value == pytest.approx(1.4)
    assert (by_row["gmm"].speed, by_row["gmm"].outcome) == ("missed", "missed")
    put(slow, 0, {"default": measured(ALL, BOTH_WAYS) | {"p50_ms": 0.6}})
    assert verdicts(tmp_path, (*ROWS, slow))["gmm"].speed == "not shown"  # 1.2 with one seed
    without = verdicts(tmp_path, (DIFFUSION, FLOW, slow))["gmm"]
    assert (without.latency_share, without.speed) == (None, "not shown")


def test_a_latency_measured_once_shows_nothing(tmp_path, put):
    put(FLOW, 0, EIGHT)
    put(REGRESSION, 0, {"default": measured(ALL, BOTH_WAYS)})
    verdict = verdicts(tmp_path)["regression"]
    assert (verdict.latency_share.value, verdict.speed, verdict.outcome) == (1, "not shown", "not shown")
    write_results(tmp_path / "out", [TASK], ROWS, tmp_path / "runs")
    assert "1.00 [no interval]: not shown" in (tmp_path / "out.md").read_text()
    assert "Infinity" not in (tmp_path / "out.json").read_text()


def test_nobody_is_judged_without_a_many_step_row(tmp_path, put):
    put(REGRESSION, 0, {"default": measured(ALL)})
    group = gather([TASK], ROWS, tmp_path / "runs")[0]
    assert group.verdicts == ()


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


def test_a_row_says_that_a_seed_of_it_was_measured_on_a_busy_machine(tmp_path, put):
    """Of several the seed that waited most; of results from before that was counted nothing is said."""
    put(REGRESSION, 0, {"default": measured(ALL)})
    assert entries(tmp_path)[1]["regression"].note == ""
    put(REGRESSION, 1, {"default": measured(ALL) | {"p50_ms": 208.0, "cpu_ms": 7.0, "waited": 0.9}})
    put(REGRESSION, 2, {"default": measured(ALL) | {"p50_ms": 9.0, "cpu_ms": 7.0, "waited": 0.2}})
    note = entries(tmp_path)[1]["regression"].note
    assert note.startswith(
        "measured on a busy machine: planning took 208 ms by the clock in the median, 7 ms of CPU time"
    )


def test_a_row_says_that_it_was_measured_on_another_machine_than_the_reference_row(tmp_path, put):
    """Two machines' milliseconds in one column would be read as a difference of rows."""
    here, there = (measured(ALL) | {"facts": {"versions": "v", "commit": "c", "hardware": h}} for h in ("h", "fast"))
    put(FLOW, 0, {setting.name: here for setting in FLOW.settings})
    put(REGRESSION, 0, {"default": here})
    assert {entry.note for entry in entries(tmp_path)[1].values()} == {""}
    put(REGRESSION, 0, {"default": there})
    notes = {row: entry.note for row, entry in entries(tmp_path)[1].items()}
    assert notes == {"flow": "", "regression": "measured on fast, and flow elsewhere: their times do not compare"}


def test_as_many_seeds_as_the_task_asks_for_are_enough(tmp_path, put):
    for seed in range(TASK.num_seeds):
        put(REGRESSION, seed, {"default": measured(ALL)})
    assert entries(tmp_path)[1]["regression"].sized_down == ("12 of 200 episodes per seed",)


def test_every_training_seed_has_held_out_episodes_of_its_own(tmp_path, put):
    """What the seeds show is not resampled as if column c were the same episode for both."""
    energy = np.linspace(0, 1, 8)
    for seed, values in ((0, energy), (1, 1 - energy)):
        put(REGRESSION, seed, {"default": measured(ALL) | {"energy": values.tolist()}})
    estimate = entries(tmp_path)[1]["regression"].best.numbers.energy
    values = np.stack([energy, 1 - energy])
    assert estimate == grouped_mean(values, shared_groups=False) != grouped_mean(values)
