"""The tables of the lecture's measurements say what their numbers say."""

import gymnasium
import pytest

from benchmarks import doubt, planning, planning_rewards
from benchmarks.common import is_dry, kept_parts
from benchmarks.lecture import PLANS, PRETRAINING, RESULTS, ended, page, targets
from benchmarks.tables import parts_below
from robolearn.planning.functions import load_function

FACTS = {"command": "python -m benchmarks.x", "commit": "c", "hardware": "h"}


def planned(returns, random=-100.0):
    return {"random": [random], "returns": returns, **FACTS}


def planning_parts(late, study="planning"):
    """Five runs of each way; those in what was learned end with returns of `late`, the simulator's with -10."""
    ends = dict.fromkeys(PLANS[study].ways, late) | {"simulator": -10.0}
    return {
        f"{study}/Pendulum-v1/{way}/{seed}": planned([-90.0, -80.0, end, end])
        for way, end in ends.items()
        for seed in range(5)
    }


@pytest.mark.parametrize("study", PLANS)
@pytest.mark.parametrize(("late", "verdict"), [(-10.5, "shown"), (-11.5, "missed"), (-19.0, "missed")])
def test_planning_is_judged_by_its_cost_beside_the_simulator(late, verdict, study):
    """In the second half of the trials, a tenth more is allowed."""
    rows = list(targets(planning_parts(late, study)))
    assert [row[-1] for row in rows] == [verdict]
    assert rows[0][2].startswith(f"{late / -10:.2f}")


@pytest.mark.parametrize("task", planning_rewards.TASKS, ids=lambda task: task.env)
def test_rewards_that_are_given_are_those_of_the_environment(task):
    env = gymnasium.make(task.env)
    before, reward = env.reset(seed=0)[0], load_function(planning_rewards.ways(task)["given"]["reward"], "reward")
    env.action_space.seed(0)
    for _ in range(50):
        after, paid, *_ = env.step(action := env.action_space.sample())
        assert reward(before, action, after) == pytest.approx(paid, abs=1e-5)
        before = after
    env.close()


def test_runs_of_planning_are_paired_by_their_seeds():
    """Of which the ways may have others, while they are measured."""
    parts = parts_below(planning_parts(-12.0), "planning", "Pendulum-v1")
    del parts["ts1/0"], parts["simulator/4"]
    runs = planning.complete({name: {**part, "name": name} for name, part in parts.items()})
    assert [run["name"] for run in runs["ts1"]] == ["ts1/1", "ts1/2", "ts1/3"]
    assert [run["name"] for run in runs["simulator"]] == ["simulator/1", "simulator/2", "simulator/3"]


def test_what_knowing_of_ends_brings_is_paired_by_seed():
    late = {"never": 10.0, "learned": 30.0, "given": 40.0, "simulator": 50.0}
    parts = {f"{way}/{seed}": planned([0.0, end + seed]) for way, end in late.items() for seed in range(3)}
    del parts["given/2"]
    rows = ended(parts)[2:]
    assert rows[1].startswith("| learned | 2 | 30.5 [")
    assert rows[1].endswith("| +20.0 [+20.0, +20.0] |")
    assert [row.split(" | ")[0] for row in rows] == ["| never", "| learned", "| given", "| simulator"]


def test_a_doubt_that_knows_the_failures_finds_all_of_them():
    some_fail = [False] * 10 + [True] * 10
    success = {doubt.KNOWN: [True] * 20, "none": [True] * 10, **dict.fromkeys(doubt.CHANGES, some_fail)}
    knows = {what: [0.1 + 0.01 * i if s else 1.0 for i, s in enumerate(each)] for what, each in success.items()}
    blind = {what: [0.5] * len(each) for what, each in success.items()}
    run = {"success": success, "ways": {"ensemble": {"largest": knows}, "gp": {"largest": blind}}}
    assert doubt.telling([run, run]) == list(doubt.CHANGES)
    means = {way: doubt.means([run, run], way, list(doubt.CHANGES)) for way in ("ensemble", "gp")}
    for number in ("all", "within"):
        assert (means["ensemble"][number].tolist(), means["gp"][number].tolist()) == ([1.0, 1.0], [0.5, 0.5])


def test_a_change_counts_where_it_tells_in_every_training():
    """So that all means are over the same changes."""
    first, *others = list(doubt.CHANGES)
    some, few = [False] * 10 + [True] * 10, [False] * 9 + [True] * 11
    runs = [{"success": dict.fromkeys(doubt.CHANGES, some)}, {"success": {first: some, **dict.fromkeys(others, few)}}]
    assert (doubt.telling(runs[:1]), doubt.telling(runs)) == ([first, *others], [first])


def made(success):
    """Three trainings, each in a hundred starts, of which so many succeed in every one."""
    return {
        "episodes": {"success": [[i < success for i in range(100)]] * 3},
        "attempts": [10],
        "unsolved": [0],
        **FACTS,
    }


@pytest.mark.parametrize(("success", "verdict"), [(90, "shown"), (50, "missed")])
def test_generation_is_judged_by_the_interval_of_what_it_lacks(success, verdict):
    parts = {f"generation/push/{group}": made(n) for group, n in (("few", 10), ("generated", success), ("all", 90))}
    assert [row[-1] for row in targets(parts)] == [verdict]
    for missing in parts:  # what is not complete has rows and no verdict
        rest = {name: part for name, part in parts.items() if name != missing}
        assert len(list(targets(rest))) == ("few" in missing)
        assert len(page(rest)) > 3


def test_a_study_that_was_begun_has_a_table():
    part = {"episodes": {"success": [[True, False]] * 3, "score": [[1.0, 0.5]] * 3}, **FACTS}
    for name in ("field/100/usual", "small_data/10/gp", "views/top/0"):
        assert page({name: part})[-1].startswith("| `python -m benchmarks.x`")
    begun = {"planning/Reacher-v5/ts1/5": planned([-1.0, -1.0])}
    assert list(targets(begun)) == []
    assert page(begun)


def test_what_was_not_measured_has_no_table():
    lines = page(planning_parts(-12.0))
    assert sum(line.startswith("| ---") for line in lines) == 3  # targets, planning, what it was measured with
    assert list(parts_below(planning_parts(-12.0), "planning", "Pendulum-v1", "ts1")) == [str(i) for i in range(5)]


@pytest.mark.parametrize("seed", [0, 4])
def test_what_is_not_complete_is_not_judged(seed):
    parts = planning_parts(-10.0)
    assert len(list(targets(parts))) == 1
    del parts[f"planning/Pendulum-v1/simulator/{seed}"]
    assert list(targets(parts)) == []
    assert any("Pendulum-v1 | ts1" in line for line in page(parts))


def test_the_page_shows_the_tables_of_the_numbers():
    shown = RESULTS.with_suffix(".md").read_text().splitlines()
    assert [line for line in page(kept_parts(RESULTS) | kept_parts(PRETRAINING)) if line and line not in shown] == []


def test_every_part_that_is_kept_names_its_command_and_a_commit_without_changes():
    for part in (kept_parts(RESULTS) | kept_parts(PRETRAINING)).values():
        assert part["command"].startswith("python -m benchmarks.")
        assert "dirty" not in part["commit"]
        assert not is_dry(part)
        assert " /" not in part["command"]  # files of the checkout alone
