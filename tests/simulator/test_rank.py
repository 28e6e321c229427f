"""Policies in a learned simulator."""

import dataclasses
import json
import shutil

import numpy as np
import pytest

from robolearn.commands.main import main
from robolearn.config import to_json
from robolearn.data.attrs import StoreAttrs
from robolearn.data.writer import DemoWriter
from robolearn.errors import UserError
from robolearn.simulator.config import RankConfig
from robolearn.simulator.rank import Candidate, find_candidates, rank_runs, roll_out_in, shuffled_starts
from robolearn.stats.proportions import wilson_share
from robolearn.training.device import choose_device
from robolearn.training.run import Run
from robolearn.training.train import train
from robolearn.types import Episode
from tests.simulator import point
from tests.simulator.conftest import tiny_training

CFG = RankConfig(episodes=40, threads=1, device="cpu")


def rollouts(simulator, run, cfg=CFG):
    starts = np.stack([states[0] for states, _ in simulator.held_out()])
    return roll_out_in(Candidate(Run.open(run), "last"), simulator, starts, cfg, choose_device("cpu", threads=1))


def evaluated(runs, folder, shares):
    """Copies of runs, with evaluations."""
    for name, share in shares.items():
        shutil.copytree(runs[name], folder / name, symlinks=True)
        success = vars(wilson_share(share, 100, 100))
        (folder / name / "eval").mkdir()
        run = Run.open(folder / name)
        subject = {"checkpoint": run.checkpoint("last").resolve().name, "env": to_json(run.config().env, {})}
        summary = {"evaluated": subject, "summary": {"success": success}}
        (folder / name / "eval/summary.json").write_text(json.dumps(summary))
    return [folder / name for name in shares]


def test_policies_of_different_worth_are_told_apart(simulator, runs):
    """One reaches the goal from everywhere, one stays in between, one goes to where it fails."""
    ranking = rank_runs(simulator.directory, [runs["left"], runs["nowhere"], runs["right"]], CFG)
    assert ranking.entries[0].name == str(runs["right"])
    assert ranking.entries[0].predicted.value > 0.9
    assert max(one.predicted.value for one in ranking.entries[1:]) < 0.1
    assert ranking.tau is None
    left = rollouts(simulator, runs["left"])
    assert np.mean([t.reason == "failure" for t in left]) > 0.9
    nowhere = rollouts(simulator, runs["nowhere"])
    assert np.mean([t.reason == "time" for t in nowhere]) > 0.9
    assert {len(t) for t in nowhere if t.reason == "time"} == {point.LENGTH}


def test_an_episode_depends_on_its_seed_alone(simulator, runs):
    one, other = (rollouts(simulator, runs["right"], RankConfig(episodes=40, num_envs=n)) for n in (40, 7))
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a.obs["state"], b.obs["state"])
        assert (a.reason, a.seed) == (b.reason, b.seed)
    others = rollouts(simulator, runs["right"], RankConfig(episodes=40, seed=100))
    assert any(len(a) != len(b) or not np.array_equal(a.actions, b.actions) for a, b in zip(one, others, strict=True))


def test_episodes_begin_where_held_out_ones_do(simulator, runs):
    starts = [states[0] for states, _ in simulator.held_out()]
    for t in rollouts(simulator, runs["right"], RankConfig(episodes=len(starts) + 2)):
        np.testing.assert_array_equal(t.obs["state"][0], starts[t.episode % len(starts)])


def test_a_ranking_begins_where_held_out_episodes_do(simulator, runs, monkeypatch):
    begun = []

    def predict(one, simulator, starts, *_):
        begun.append(starts)
        return wilson_share(0.0, 1, 1)

    monkeypatch.setattr("robolearn.simulator.rank.predict", predict)
    rank_runs(simulator, [runs["right"]], CFG)
    held_out = np.stack([states[0] for states, _ in simulator.held_out()])
    np.testing.assert_array_equal(np.sort(begun[0], axis=0), np.sort(held_out, axis=0))


def test_a_few_episodes_begin_in_all_stores(simulator, monkeypatch):
    """Held-out episodes lie store by store; of 40 in a random order fewer than 8 are of one half by chance 1e-5."""
    states = [np.full((2, 1), number, np.float32) for number in range(200)]
    monkeypatch.setattr(simulator, "held_out", lambda: [(each, np.zeros((1, 1), np.float32)) for each in states])
    starts = shuffled_starts(simulator)
    assert sorted(starts[:, 0]) == list(range(200))
    assert 8 <= np.sum(starts[:40] < 100) <= 32
    np.testing.assert_array_equal(starts, shuffled_starts(simulator))


def test_an_episode_is_cut_where_that_is_asked_for(simulator, runs):
    episodes = rollouts(simulator, runs["nowhere"], RankConfig(episodes=10, max_episode_steps=6))
    assert {len(t) for t in episodes} == {6}


def test_evaluations_stand_beside_predictions(simulator, runs, tmp_path):
    known = evaluated(runs, tmp_path, {"right": 0.9, "nowhere": 0.0, "left": 0.1})
    ranking = rank_runs(simulator, known, CFG)
    assert {one.name: one.real.value for one in ranking.entries} == {
        str(run): share for run, share in zip(known, (0.9, 0.0, 0.1), strict=True)
    }
    assert ranking.tau.n == 3
    assert not ranking.tau.has_interval
    assert ranking.to_json()["tau"]["value"] == ranking.tau.value > 0.3


def test_a_part_of_an_evaluation_is_none(simulator, runs, tmp_path):
    (run,) = evaluated(runs, tmp_path, {"right": 0.9})
    path = run / "eval/summary.json"
    path.write_text(json.dumps({"partial": {"asked": 9}, **json.loads(path.read_text())}))
    assert rank_runs(simulator, [run], RankConfig(episodes=2)).entries[0].real is None


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"checkpoint": "00000001"}, "it is of checkpoint 00000001"),
        ({"translator": "tr"}, "it is with a translator"),
        ({"safety_set": True}, "it is with a safety set"),
        ({"execution": {"exec_horizon": 1}}, "it executes chunks with another `exec_horizon`"),
        ({"execution": {"exec_horizon": 4, "ensembling": 0.01}}, "it executes chunks with another `ensembling`"),
        ({"execution": {"delay": 1}}, "it executes chunks with another `delay`"),
        ({"env": {"id": "test/Other-v0"}}, "its environment has another `env.id`"),
        ({"env": {"kwargs": {"look": "real"}}}, "its environment has another `env.kwargs`"),
        ({"env": {"max_episode_steps": 2}}, "its environment has another `env.max_episode_steps`"),
        (None, "it does not say of what it is; evaluate again"),
    ],
)
def test_an_evaluation_of_something_else_is_left_out(simulator, runs, tmp_path, capsys, changed, said):
    (run,) = evaluated(runs, tmp_path, {"right": 0.9})
    path = run / "eval/summary.json"
    content = json.loads(path.read_text())
    subject = content.pop("evaluated")
    subject["env"]["id"] = "test/Own-v0"
    if changed is not None:
        content["evaluated"] = {**subject, **changed, "env": {**subject["env"], **changed.get("env", {})}}
    path.write_text(json.dumps(content))
    config = json.loads((run / "config.json").read_text())
    config["env"]["id"] = "test/Own-v0"
    (run / "config.json").write_text(json.dumps(config))
    assert rank_runs(simulator, [run], RankConfig(episodes=2)).entries[0].real is None
    assert f"{path}: the evaluation is left out, {said}" in capsys.readouterr().err


def test_all_checkpoints_of_a_run(tmp_path):
    store = point.write(tmp_path / "a.zarr", 10, targets=(1.0,))
    run = train(tiny_training(store, tmp_path / "run", steps=6, checkpoint_every=2, keep_every=2))
    assert [one.checkpoint for one in find_candidates(run, "all")] == ["2", "4", "last"]
    with pytest.raises(UserError, match="no checkpoint '7'"):
        find_candidates(run, "7")


def test_one_run_needs_no_list(simulator, runs):
    cfg = dataclasses.replace(CFG, episodes=2)
    assert [one.name for one in rank_runs(simulator, str(runs["left"]), cfg).entries] == [str(runs["left"])]


def test_an_unknown_run_is_refused(simulator, tmp_path):
    with pytest.raises(UserError, match=r"nothing is no run"):
        rank_runs(simulator, [tmp_path / "nothing"], CFG)


def test_no_simulator_is_refused(runs, tmp_path):
    with pytest.raises(UserError, match="holds no complete learned simulator"):
        rank_runs(tmp_path, [runs["right"]], CFG)


def store_of(path, obs, action_dim=1):
    rng = np.random.default_rng(0)
    rows = {key: (rng.random((12, *shape)) * 200).astype(dtype) for key, (shape, dtype) in obs.items()}
    actions = rng.random((12, action_dim)).astype(np.float32)
    attrs = StoreAttrs(env_id="test/Point-v0", obs_keys=tuple(obs))
    DemoWriter.create(path, attrs=attrs).extend([Episode(rows, actions)] * 2)
    return path


@pytest.mark.parametrize(
    ("obs", "action_dim", "said"),
    [
        ({"camera": ((16, 16, 3), np.uint8)}, 1, r"sees images \(camera\)"),
        ({"velocity": ((1,), np.float32)}, 1, "velocity"),
        ({"state": ((2,), np.float32)}, 1, "state"),
        ({"state": ((1,), np.float32)}, 3, "actions have shape"),
    ],
)
def test_a_policy_that_sees_or_does_something_else_is_refused(simulator, tmp_path, obs, action_dim, said):
    store = store_of(tmp_path / "a.zarr", obs, action_dim)
    run = train(tiny_training(store, tmp_path / "run", steps=1))
    with pytest.raises(UserError, match=said):
        rank_runs(simulator, [run.directory], CFG)


def test_the_command_prints_a_ranking(simulator, runs, tmp_path, capsys):
    known = evaluated(runs, tmp_path, {"right": 0.9, "nowhere": 0.0, "left": 0.1})
    out = tmp_path / "ranking.json"
    flags = ["--episodes", "10", "--threads", "1", "--out", str(out)]
    main(["simulator", "rank", str(simulator.directory), *map(str, known), *flags])
    lines = capsys.readouterr().out.splitlines()
    assert str(known[0]) in lines[1]
    assert lines[-1].startswith("Kendall's tau over 3 evaluated policies")
    assert len(json.loads(out.read_text())["policies"]) == 3


def test_the_command_prints_accuracies(simulator, capsys):
    main(["simulator", "accuracy", str(simulator.directory), "--horizons", "1", "3", "99", "--ensemble-steps", "5"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:5]] == ["steps", "1", "3", "99"]
    assert lines[4].endswith("no episode is that long")


def test_the_command_names_what_it_knows(capsys):
    with pytest.raises(SystemExit):
        main(["simulator", "lern"])
    assert "choose from learn, accuracy, rank" in capsys.readouterr().err
    main(["simulator", "--help"])
    assert "simulator rank" in capsys.readouterr().out
