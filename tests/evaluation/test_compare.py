"""Comparing two runs: what is rolled out, kept and gone on with, and how the command ends."""

import dataclasses
import json
import shutil

import numpy as np
import pytest

from robolearn import seeds
from robolearn.commands.main import main
from robolearn.errors import UserError
from robolearn.evaluation import compare as module
from robolearn.evaluation.compare import compare
from robolearn.evaluation.compare_config import CompareConfig, SideConfig
from robolearn.rollout.env_config import EnvConfig
from robolearn.rollout.execution import Execution
from robolearn.rollout.pairs import Judge
from robolearn.types import Trajectory
from tests.trust.test_commands import give_gate

SHORT = EnvConfig(max_episode_steps=3)
CPU = {"device": "cpu", "threads": 1}


@pytest.fixture
def run(trained_pair):
    return trained_pair


@pytest.fixture(autouse=True)
def without_page(request, monkeypatch):
    """It takes longer than all else; one test looks at it."""
    if request.function is not test_what_is_kept:
        monkeypatch.setattr(module, "write_page", lambda path, comparison: None)


def config(**choices):
    return CompareConfig(**{**CPU, "env": SHORT, **choices})


def lines(directory):
    return [json.loads(line) for line in (directory / "pairs.jsonl").read_text().splitlines()]


def told(directory):
    return json.loads((directory / "comparison.json").read_text())


def pretend(monkeypatch, share_a, share_b, stop_after=None):
    """Episodes that succeed with these shares, decided by their index alone; the environments are never stepped."""
    rolled_out = []

    def roll_out(side, episodes):
        if stop_after is not None and len(rolled_out) >= 2 * stop_after:
            raise KeyboardInterrupt
        rolled_out.append((side.name, episodes))
        share = {"A": share_a, "B": share_b}[side.name]
        return [pretended(i, np.random.default_rng(i).random() < share) for i in episodes]

    monkeypatch.setattr(module._Side, "roll_out", roll_out)
    return rolled_out


def pretended(i, success):
    rewards = np.array([float(success)])
    seed = seeds.EVALUATION.start + i
    return Trajectory(i, seed, {}, np.zeros((1, 2)), rewards, rewards, bool(success), -1, "time", start=str(i))


def test_one_policy_is_not_worse_than_itself_however_many_run_side_by_side(run, capsys):
    comparisons = [compare(run, run, config(margin=0.2, num_envs=n, out=run / str(n))) for n in (5, 16)]
    assert comparisons[0].verdict == comparisons[1].verdict
    assert comparisons[0].verdict.words == "B is not worse than A by more than 0.2"
    decided = comparisons[0].verdict.num_pairs
    assert [len(one.pairs) for one in comparisons] == [-(-decided // n) * n for n in (5, 16)]
    assert lines(run / "5")[:decided] == lines(run / "16")[:decided]
    assert all(row["a"] == row["b"] and row["a"]["length"] <= 3 for row in lines(run / "16"))
    assert [row["seed"] for row in lines(run / "5")[:3]] == [100_000, 100_001, 100_002]
    assert "A and B are one policy that acts in one way" in capsys.readouterr().err


def test_the_same_noise_for_both_and_each_its_own_way_to_act(run):
    """With another horizon the first chunk is the same, what follows is not."""
    cfg = config(b=SideConfig(execution=Execution(exec_horizon=1)), max_episodes=4, by="score")
    source = compare(run, run, cfg).source
    assert source["a"]["execution"]["exec_horizon"] == 2
    assert source["b"]["execution"]["exec_horizon"] == 1
    assert source["a"]["sha256"] == source["b"]["sha256"]


def test_a_policy_with_and_without_what_watches_over_it(run):
    """A gate that alarms at once and stops every episode: a step is the most that is left of them."""
    give_gate(run, "disagreement", -1.0)
    watched = SideConfig(gate=True, fallback="stop")
    comparison = compare(run, run, config(b=watched, max_episodes=2, by="score"))
    assert [(pair.a.reason == "stopped", pair.b.reason) for pair in comparison.pairs] == [(False, "stopped")] * 2
    assert comparison.source["a"]["calibrated"] == []
    assert set(comparison.source["b"]["calibrated"][0]) >= {"calibration.json"}
    give_gate(run, "disagreement", 1e9)
    other = compare(run, run, config(b=watched, max_episodes=2, by="score"))
    assert other.directory != comparison.directory, "another gate makes another comparison"


def test_what_is_kept(run, monkeypatch):
    pretend(monkeypatch, 0.2, 0.9)
    comparison = compare(run, run, config(b=SideConfig(steps=1)), command="as typed")
    kept = told(comparison.directory)
    assert (kept["outcome"], kept["exit_status"], kept["verdict"]) == ("shown", 0, "B is better than A")
    assert kept["difference"]["low"] >= 0
    assert kept["difference"]["n"] == kept["pairs"]["counted"] <= kept["pairs"]["rolled_out"]
    assert kept["command"] == "as typed"
    assert all(name in kept["versions"] for name in ("robolearn", "torch", "mujoco", "gymnasium", "numpy"))
    assert {"commit", "hardware", "run_a", "run_b"} <= set(kept)
    assert kept["source"]["b"]["sampling"] == {"sampler": None, "steps": 1}
    where = kept["source"]["environment"]
    assert (where["id"], where["kwargs"], where["max_episode_steps"]) == ("envs:robolearn/Avoid-v0", {}, 3)
    assert "B is better than A" in (comparison.directory / "comparison.html").read_text()


def test_a_stopped_comparison_keeps_its_verdict_and_the_same_call_goes_on(run, monkeypatch, capsys):
    cfg = config(num_envs=8, out=run / "out")
    pretend(monkeypatch, 0.5, 0.75, stop_after=2)
    with pytest.raises(KeyboardInterrupt):
        compare(run, run, cfg)
    assert "stopped: the verdict so far, of 16 pairs" in capsys.readouterr().err
    before = told(run / "out")
    assert (before["outcome"], before["difference"]["n"]) == ("undecided", 16)
    assert -1 < before["difference"]["low"] < 0 < before["difference"]["high"] < 1
    rolled_out = pretend(monkeypatch, 0.5, 0.75)
    resumed = compare(run, run, cfg)
    assert rolled_out[0] == ("A", range(16, 24))
    assert resumed.verdict.outcome == "shown"
    whole = compare(run, run, config(num_envs=8, out=run / "whole"))
    assert (resumed.verdict, resumed.pairs) == (whole.verdict, whole.pairs)
    rolled_out.clear()
    assert compare(run, run, cfg).verdict == whole.verdict
    assert rolled_out == [], "what is decided needs no more episodes"


def test_another_question_is_answered_from_the_same_pairs(run, monkeypatch):
    rolled_out = pretend(monkeypatch, 0.5, 0.75)
    first = compare(run, run, config(out=run / "out"))
    rolled_out.clear()
    wide = compare(run, run, config(out=run / "out", margin=0.4, max_episodes=20))
    assert rolled_out == []
    assert wide.verdict.num_pairs <= 20 < first.verdict.num_pairs
    assert len(lines(run / "out")) == len(first.pairs)


def test_returns_are_compared_as_a_share_of_their_range(run, monkeypatch):
    pretend(monkeypatch, 0.2, 0.9)
    env = dataclasses.replace(SHORT, return_range=(-1.0, 3.0))
    verdict = compare(run, run, config(by="return", env=env, max_episodes=16)).verdict
    assert verdict.question.return_range == (-1.0, 3.0)
    assert 0.25 <= verdict.mean_a < verdict.mean_b <= 0.5
    assert told(compare(run, run, config(by="return", env=env, out=run / "out")).directory)["return_range"] == [-1, 3]


def test_pairs_of_another_comparison_are_not_gone_on_with(run, monkeypatch):
    pretend(monkeypatch, 0.5, 0.75)
    compare(run, run, config(out=run / "out", max_episodes=8))
    with pytest.raises(ValueError, match=r"out holds another comparison, with other b.sampling; choose another `out`"):
        compare(run, run, config(out=run / "out", b=SideConfig(steps=1)))
    otherwise = EnvConfig(max_episode_steps=3, obs=("state=state[:4]",))
    compare(run, run, config(out=run / "seen", max_episodes=8, env=otherwise))
    for out, env in (("out", otherwise), ("seen", SHORT)):
        with pytest.raises(ValueError, match=r"holds another comparison, with other a.obs, b.obs; choose"):
            compare(run, run, config(out=run / out, env=env))
    assert compare(run, run, config(max_episodes=8, b=SideConfig(steps=1))).directory.parent == run / "compare"
    (run / "out" / "pairs.jsonl").write_text('{"episode": 0')
    with pytest.raises(ValueError, match=r"pairs.jsonl, line 1: not JSON"):
        compare(run, run, config(out=run / "out"))
    for content in (b"\xff\xfe", b"[" * 100_000, b'{"episode": ' + b"9" * 5000 + b"}"):
        (run / "out" / "pairs.jsonl").write_bytes(content)
        with pytest.raises(UserError, match=r"pairs.jsonl, line 1: "):
            compare(run, run, config(out=run / "out"))
    rows = lines(compare(run, run, config(max_episodes=8)).directory)
    (run / "out" / "pairs.jsonl").write_text(json.dumps(rows[1]))
    with pytest.raises(ValueError, match=r"line 1: is of episode 1, expected 0"):
        compare(run, run, config(out=run / "out"))


def test_what_fails_in_judging_finds_the_pairs_written(run, monkeypatch):
    pretend(monkeypatch, 0.5, 0.75)

    monkeypatch.setattr(Judge, "take", lambda judge, pair: module.Question("return"))
    with pytest.raises(ValueError, match=r"needs `env.return_range`"):
        compare(run, run, config(out=run / "out", max_episodes=8))
    assert len(lines(run / "out")) == 8


@pytest.mark.parametrize(
    ("env", "message"),
    [
        ("tests.rollout.plain_env:test/Plain-v0", r"A \(.*run\): environment .* ignores reset\(seed\)"),
        ("envs:robolearn/Push-v0", r"A \(.*run\): the environment's 'state' has shape \(10,\), the policy expects"),
    ],
)
def test_environments_that_cannot_be_compared_in(run, env, message):
    kwargs = {"obeys": False} if "Plain" in env else {}
    with pytest.raises(ValueError, match=message):
        compare(run, run, config(env=EnvConfig(env, kwargs), max_episodes=20))


def test_runs_of_two_environments_are_refused(run, tmp_path):
    other = shutil.copytree(run, tmp_path / "other", symlinks=True)
    text = (other / "config.json").read_text()
    (other / "config.json").write_text(text.replace("Avoid-v0", "Push-v0"))
    with pytest.raises(ValueError, match="A acts in an environment with id envs:robolearn/Avoid-v0, B in one with"):
        compare(run, other, config())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"margin": 1.0}, r"`margin` 1 must be in \[0, 1\)"),
        ({"margin": -0.1}, "`margin` -0.1 must be"),
        ({"alpha": 0.0}, "`alpha` 0 must be"),
        ({"max_episodes": 0}, "`max_episodes` 0 must be in"),
        ({"num_envs": 0}, "`num_envs` 0 at least 1"),
        ({"seed": -1}, "`seed` -1 must not be negative"),
        ({"a": SideConfig(checkpoint="none")}, r"A \(.*run\): .* has no checkpoint 'none'"),
        ({"b": SideConfig(gate=True)}, r"B \(.*run\): .*gate"),
        ({"by": "return"}, r"`by` return needs `env.return_range`"),
    ],
)
def test_what_cannot_be_compared(run, options, message):
    with pytest.raises(ValueError, match=message):
        compare(run, run, config(**options))
    assert not (run / "compare").exists()


@pytest.mark.parametrize(
    ("shares", "flags", "status"),
    [
        ((0.1, 0.9), [], 0),
        ((0.9, 0.1), [], 1),
        ((0.5, 0.5), [], 2),
        ((0.5, 0.5), ["--margin", "0.2"], 0),
        ((0.9, 0.1), ["--margin", "0.2"], 1),
        ((0.5, 0.5), ["--margin", "2"], 2),
    ],
)
def test_the_exit_status_is_the_verdict(run, monkeypatch, capsys, shares, flags, status):
    pretend(monkeypatch, *shares)
    with pytest.raises(SystemExit) as ended:
        main(["compare", str(run), str(run), "--max-episodes", "50", "--b.steps", "1", "--device", "cpu", *flags])
    assert ended.value.code == status
    shown = capsys.readouterr()
    if flags == ["--margin", "2"]:
        assert shown.err.startswith("error: --margin 2 must be")
        assert shown.out == ""
    else:
        assert "pairs" in shown.out


def test_a_defect_is_no_verdict(run, monkeypatch, capsys):
    def fail(*_):
        raise RuntimeError("oops")

    monkeypatch.setattr(module._Side, "roll_out", fail)
    with pytest.raises(SystemExit) as ended:
        main(["compare", str(run), str(run), "--max-episodes", "8", "--device", "cpu"])
    assert ended.value.code == 2
    assert "RuntimeError: oops" in capsys.readouterr().err
