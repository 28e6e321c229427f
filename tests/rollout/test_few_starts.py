"""Environments that ignore seeds, or have few starts: noticed before, counted after, and intervals are over starts."""

import dataclasses
import json

import numpy as np
import pytest

from robolearn.policies.ensemble import Ensemble
from robolearn.policies.flow import FlowConfig
from robolearn.report.page import Report, write_report
from robolearn.report.results import write_results
from robolearn.report.terminal import format_table
from robolearn.rollout.env_config import EnvConfig
from robolearn.rollout.execution import Execution
from robolearn.rollout.making import make_envs
from robolearn.rollout.metrics import summarize
from robolearn.rollout.roll_out import roll_out as roll_out_in
from robolearn.rollout.seeding import find_seed_fault
from robolearn.starts import num_starts
from robolearn.stats.proportions import wilson
from tests.report.test_terminal import rendered
from tests.rollout.test_bad_environments import roll_out
from tests.rollout.test_metrics import trajectory


@pytest.fixture
def policy(make_policy):
    return make_policy(FlowConfig(steps=1), obs_shapes={"state": (2,)})


def fault(name, num_envs=2, num_seeds=2, **kwargs):
    cfg = EnvConfig(f"bad/{name}-v0", kwargs)
    envs = make_envs(cfg, num_envs, ("state",))
    try:
        return find_seed_fault(cfg, envs, 7, num_seeds)
    finally:
        envs.close()


@pytest.mark.parametrize("num_envs", [1, 2, 3])
def test_seeds_are_tried_before_anything_else(num_envs):
    assert fault("Good", num_envs) == (None, None)
    assert fault("HiddenGoal", num_envs) == (None, None)
    wrong, _ = fault("IgnoresSeeds", num_envs)
    assert wrong == "environment bad/IgnoresSeeds-v0 ignores reset(seed): equal seeds begin differently"
    wrong, _ = fault("IgnoresSeeds", num_envs, seed=3)
    assert "ignores reset(seed)" in wrong
    assert ("its copies begin alike" in wrong) == (num_envs > 1)
    assert "leave seed out of its keyword arguments" in wrong
    assert fault("FewStarts", num_envs, count=1) == (
        None,
        "environment bad/FewStarts-v0 begins alike for seeds 7 and 8",
    )
    assert fault("Raises", num_envs, where="reset") == (None, None)  # the episodes will tell


@pytest.mark.parametrize("num_envs", [1, 2])
def test_seeds_that_are_ignored_show_although_there_are_only_two_starts(num_envs):
    """A start is met again by chance at every other seed: 16 seeds agree once in 2^15, two every second time."""
    told = [fault("IgnoresSeeds", num_envs, 16, seed=seed, sides=2)[0] for seed in range(20)]
    assert all("ignores reset(seed)" in text for text in told)
    assert [("its copies begin alike" in text) for text in told] == [num_envs > 1] * 20
    quick = [fault("IgnoresSeeds", num_envs, 2, seed=seed, sides=2)[0] for seed in range(20)]
    assert None in quick
    turns = [fault("TakesTurns", num_envs, 16, count=count)[0] for count in range(2, 20)]
    assert all("ignores reset(seed)" in text for text in turns)


def test_starts_that_seeds_share_are_no_fault():
    assert fault("FewStarts", num_seeds=16) == (
        None,
        "environment bad/FewStarts-v0 begins from 5 distinct starts for the first 16 seeds",
    )
    assert fault("FewStarts", num_seeds=16, count=1)[1].endswith("begins alike for seeds 7 .. 22")
    assert fault("FewStarts", num_seeds=16, count=16) == (None, None)


def test_our_own_tasks_follow_their_seeds():
    cfg = EnvConfig("envs:robolearn/Avoid-v0")
    envs = make_envs(cfg, 2, ("state",))
    assert find_seed_fault(cfg, envs, 100_000, 16) == (None, None)
    envs.close()


def test_copies_that_share_a_seed_are_counted_as_the_starts_they_are(policy, capsys):
    """As in Meta-World: 20 episodes in 4 copies are 5 starts; the check beforehand takes none away."""
    trajectories = roll_out(policy, "IgnoresSeeds", 20, 4, kwargs={"seed": 3})
    assert num_starts(trajectories) == 5
    error = capsys.readouterr().err.splitlines()
    assert [line for line in error if "ignores reset(seed)" in line and "copies begin alike" in line]
    assert [line for line in error if "20 episodes began from 5 distinct starts: intervals are over these" in line]
    assert all(line.startswith("warning: ") for line in error)


def test_few_starts_are_counted(policy, capsys):
    trajectories = roll_out(policy, "FewStarts", 20, 4)
    assert num_starts(trajectories) == 5
    summary = summarize(trajectories, num_modes=None, control_dt=0.1)
    assert (summary.num_episodes, summary.num_starts) == (20, 5)
    assert (summary.success.value, summary.success.n) == (0.5, 20)
    half = wilson(1, 2)
    low, high = half.low, half.high  # wider than 10 of 20, narrower than 1 of 2
    assert low < summary.success.low < 0.2
    assert 0.8 < summary.success.high < high
    assert capsys.readouterr().err.splitlines() == [
        "warning: 20 episodes began from 5 distinct starts: intervals are over these, not over episodes"
    ]


def test_what_the_policy_does_not_see_may_tell_starts_apart(policy, capsys):
    assert num_starts(roll_out(policy, "HiddenGoal", 8, 2)) == 8
    assert capsys.readouterr().err == ""


def test_our_own_tasks_are_counted_too(make_policy, capsys):
    cfg = EnvConfig("envs:robolearn/Avoid-v0", max_episode_steps=8)
    policy = make_policy(FlowConfig(steps=1))
    one = roll_out_in(policy, cfg, range(6), execution=Execution(4), seed=9)
    assert num_starts(one) == 6
    repeated = roll_out_in(policy, cfg, range(6), execution=Execution(4), seed=9, repeats=3)
    assert num_starts(repeated) == 2
    assert repeated[0].start == one[0].start
    assert capsys.readouterr().err == ""  # repeated on purpose


def copies(count, starts, success=lambda start: start % 2 == 0, mode=lambda i: -1):
    """``count`` episodes, of which every ``starts``-th begins alike and ends alike."""
    return [
        dataclasses.replace(
            trajectory(i, success=bool(success(i % starts)), mode=mode(i), score=0.1 * (i % starts)),
            start=str(i % starts),
        )
        for i in range(count)
    ]


def test_copies_of_episodes_add_no_certainty():
    """Repeating every episode changes no interval, but for what n says."""
    once = summarize(copies(8, 8, mode=lambda i: i % 4), num_modes=6, control_dt=0.1)
    often = summarize(copies(80, 8, mode=lambda i: i % 4), num_modes=6, control_dt=0.1)
    assert (often.num_episodes, often.num_starts) == (80, 8)
    for name in ("success", "max_score", "final_score", "length", "smoothness"):
        one, other = getattr(once, name), getattr(often, name)
        assert (one.value, one.low, one.high) == pytest.approx((other.value, other.low, other.high)), name
    assert often.mode_entropy.high - often.mode_entropy.low > 0.5  # two modes of four successes


def test_one_start_tells_next_to_nothing():
    summary = summarize(copies(50, 1), num_modes=None, control_dt=0.1)
    assert summary.success == dataclasses.replace(wilson(1, 1), n=summary.success.n)
    assert (summary.length.low, summary.length.high) == (-np.inf, np.inf)
    assert "no interval from one start" in rendered(format_table(summary), width=100)


def test_rewards_beyond_one_get_no_interval_of_a_share():
    runs = [dataclasses.replace(t, scores=np.array([-3.0, 0.5 if t.episode % 2 else 1.4])) for t in copies(6, 1)]
    summary = summarize(runs, num_modes=None, control_dt=0.1)
    assert summary.max_score is summary.final_score is None
    assert (summary.episode_return.low, summary.episode_return.high) == (-np.inf, np.inf)


def test_what_is_written_and_shown(policy, tmp_path):
    trajectories = roll_out(policy, "Raises", 6, 3) + roll_out(policy, "FewStarts", 4, 2, kwargs={"count": 1})
    summary = summarize(trajectories, num_modes=None, control_dt=0.1)
    write_results(tmp_path, trajectories, summary)
    numbers = json.loads((tmp_path / "summary.json").read_text(), parse_constant=lambda x: pytest.fail(x))["summary"]
    assert (numbers["num_episodes"], numbers["num_broken"], numbers["num_starts"]) == (10, 3, 3)
    rows = [json.loads(line) for line in (tmp_path / "episodes.jsonl").read_text().splitlines()]
    assert [row["broken"] for row in rows] == [False, True] * 3 + [False] * 4
    assert all((row["success"], row["max_score"], row["final_score"]) == (None,) * 3 for row in rows if row["broken"])
    words = "7 episodes from 3 distinct starts; 3 more are broken and do not count"
    assert words in rendered(format_table(summary))
    write_report(tmp_path / "report.html", Report("Raises", "run", summary, trajectories, "eval.py", 0.1))
    assert words in (tmp_path / "report.html").read_text()


def test_no_number_is_written_where_there_is_none(policy, tmp_path):
    trajectories = roll_out(policy, "Good", 1, 1)
    write_results(tmp_path, trajectories, summarize(trajectories, num_modes=None, control_dt=0.1))
    text = (tmp_path / "summary.json").read_text()
    content = json.loads(text, parse_constant=lambda x: pytest.fail(x))
    assert (content["summary"]["length"]["low"], content["summary"]["length"]["high"]) == (None, None)


def test_a_calibration_takes_every_episode_that_seeds_give(make_policy, capsys):
    """A start that comes often counts as often; an environment that ignores seeds is refused."""
    from robolearn.trust.calibrate import Rollouts
    from robolearn.trust.certificate import Source

    policy = make_policy(FlowConfig(steps=1), obs_shapes={"state": (2,)})

    def roll(name):
        source = Source("", "", "")
        cfg = EnvConfig(f"bad/{name}-v0")
        return Rollouts(Ensemble([policy]), cfg, Execution(4), source, 0, 20, 4, "hold").roll_out()

    assert len(roll("Good")) == 20
    assert capsys.readouterr().err == ""
    assert [t.episode for t in roll("FewStarts")] == list(range(20))
    assert capsys.readouterr().err.splitlines() == [
        "warning: environment bad/FewStarts-v0 begins from 5 distinct starts for the first 16 seeds",
        "warning: 20 episodes began from 5 distinct starts: what is said speaks of these, as often as seeds give them",
    ]
    assert [t.episode for t in roll("Raises")] == list(range(0, 20, 2))
    with pytest.raises(ValueError, match=r"ignores reset\(seed\)"):
        roll("IgnoresSeeds")
