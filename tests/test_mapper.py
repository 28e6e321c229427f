"""What is spread is the same to the digit as what is not, and what was finished before a stop is not done again."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from robolearn.bench.triangle import work
from robolearn.bench.unit import Unit
from robolearn.config import read_json
from robolearn.data.collect import collect
from robolearn.data.store import DemoStore
from robolearn.errors import UserError
from robolearn.evaluation.calibrate import calibrate
from robolearn.evaluation.calibrate_config import CalibrateConfig
from robolearn.evaluation.config import EvalConfig
from robolearn.evaluation.evaluate import evaluate
from robolearn.evaluation.sweep import sweep
from robolearn.evaluation.sweep_config import SweepConfig
from robolearn.rollout.env_config import EnvConfig
from robolearn.rollout.kept import KeptEpisodes
from robolearn.rollout.roll_out import agreeing
from robolearn.rollout.spread import cut
from robolearn.training.run import Run
from robolearn.training.train import train
from robolearn.types import Trajectory
from tests.bench import tiny
from tests.mappers import Scrambled

LINE = "tests.data.line_env:test/Line-v0"
SHORT = EnvConfig(max_episode_steps=8)
EVALUATION = EvalConfig(episodes=10, num_envs=2, videos=0, device="cpu", threads=1, env=SHORT)


@given(st.integers(1, 300), st.integers(1, 40), st.integers(1, 20))
def test_groups_are_whole_rounds_of_every_episode_once(count, num_envs, places):
    groups = list(cut(range(count), num_envs, places))
    assert [episode for group in groups for episode in group] == list(range(count))
    assert all(len(group) % num_envs == 0 for group in groups[:-1])
    assert len(groups) >= min(2 * places, -(-count // num_envs))


def test_a_collection_is_the_same_and_goes_on(tmp_path):
    collect(LINE, 40, tmp_path / "here.zarr", num_envs=3)
    collect(LINE, 40, tmp_path / "spread.zarr", num_envs=3, mapper=Scrambled())
    with pytest.raises(KeyboardInterrupt):
        collect(LINE, 40, tmp_path / "stopped.zarr", num_envs=3, mapper=Scrambled(stop_after=5))
    assert 0 < DemoStore.open(tmp_path / "stopped.zarr").num_episodes < 40
    collect(LINE, 40, tmp_path / "stopped.zarr", num_envs=3, mapper=Scrambled())
    here, *others = (DemoStore.open(tmp_path / f"{name}.zarr") for name in ("here", "spread", "stopped"))
    for other in others:
        assert other.content_hash() == here.content_hash()
        assert other.episode_attrs["seed"].tolist() == here.episode_attrs["seed"].tolist()


def results(folder):
    """All that depends on no clock."""
    summary = read_json(folder / "summary.json")
    del summary["latency"], summary["spent_s"]
    return (folder / "episodes.jsonl").read_text(), summary


@pytest.mark.long
def test_an_evaluation_is_the_same_and_goes_on(trained_pair, tmp_path):
    evaluate(trained_pair, dataclasses.replace(EVALUATION, out=tmp_path / "here"))
    evaluate(trained_pair, dataclasses.replace(EVALUATION, out=tmp_path / "spread"), mapper=Scrambled())
    assert results(tmp_path / "spread") == results(tmp_path / "here")
    stopped = dataclasses.replace(EVALUATION, out=tmp_path / "stopped")
    with pytest.raises(KeyboardInterrupt):
        evaluate(trained_pair, stopped, mapper=Scrambled(stop_after=2))
    assert "partial" in read_json(tmp_path / "stopped" / "summary.json")
    again = Scrambled()
    evaluate(trained_pair, stopped, mapper=again)
    assert len(again.done) == 3
    assert results(tmp_path / "stopped") == results(tmp_path / "here")
    assert not (tmp_path / "stopped" / "parts").exists()


def test_what_another_evaluation_has_kept_is_not_taken(trained_pair, tmp_path):
    cfg = dataclasses.replace(EVALUATION, out=tmp_path / "eval")
    with pytest.raises(KeyboardInterrupt):
        evaluate(trained_pair, cfg, mapper=Scrambled(stop_after=2))
    other = Scrambled()
    evaluate(trained_pair, dataclasses.replace(cfg, seed=cfg.seed + 1), mapper=other)
    assert len(other.done) == 5


@pytest.mark.slow
def test_a_guarded_evaluation_and_its_calibration_are_the_same(trained_pair, tmp_path):
    cfg = CalibrateConfig(episodes=20, num_samples=2, num_envs=4, alpha=0.5, device="cpu", threads=1)
    watched = EvalConfig(episodes=6, num_envs=2, videos=0, device="cpu", threads=1, gate=True, budgets=(2,))
    outcomes = []
    for name, mapper in (("here", None), ("spread", Scrambled())):
        try:
            certificate = calibrate(trained_pair, cfg, mapper=mapper)
        except UserError as error:  # a policy that hardly learned anything may succeed too rarely
            outcomes.append(str(error))
            continue
        evaluate(trained_pair, dataclasses.replace(watched, out=tmp_path / name), mapper=mapper)
        outcomes.append((certificate, results(tmp_path / name)))
    assert outcomes[0] == outcomes[1]


@pytest.mark.slow
def test_units_are_the_same(tmp_path):
    data = tiny.write_demos(tmp_path)
    measured = []
    for name, mapper in (("here", None), ("spread", Scrambled())):
        units = [Unit(tiny.TASK, row, "compute", 0, tmp_path / name) for row in tiny.ROWS]
        assert work(units, data, torch.device("cpu"), mapper) == []
        assert all(not unit.missing() for unit in units)
        settings = [unit.result()["settings"].values() for unit in units]
        measured.append([(one["evaluation"], one["energy"]) for unit_settings in settings for one in unit_settings])
    assert measured[0] == measured[1]
    assert set(mapper.shared) == {tmp_path / "spread", data / "tiny.zarr"}


def test_members_are_the_same(trained_pair, tmp_path, read_metrics):
    cfg = dataclasses.replace(Run.open(trained_pair).config(), out=tmp_path / "again")
    train(cfg, mapper=Scrambled())
    for index in (1,):
        first, again = (Run(folder).member(index) for folder in (trained_pair, tmp_path / "again"))
        assert read_metrics(first) == read_metrics(again)
    assert Run(tmp_path / "again").is_complete()


@pytest.mark.slow
def test_a_sweep_compares_trainings_and_does_nothing_twice(trained_pair, tmp_path):
    cfg = SweepConfig((str(trained_pair),), seeds=(3, 4), episodes=4, out=tmp_path / "here", device="cpu")
    here, spread = sweep(cfg), sweep(dataclasses.replace(cfg, out=tmp_path / "spread"), mapper=Scrambled())
    assert here == spread
    assert here[0].recipe == trained_pair.name
    assert here[0].trainings == 2
    written = [(tmp_path / f"here/run/{seed}/eval/episodes.jsonl").read_text().splitlines() for seed in (3, 4)]
    rewards = [[json.loads(line)["return"] for line in one] for one in written]
    assert here[0].numbers["return"].value == pytest.approx(np.mean(rewards))
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "here/run").rglob("*.json*")}
    assert sweep(cfg) == here
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "here/run").rglob("*.json*")} == before
    with pytest.raises(UserError, match=r"here/run/3: `steps` was 2, it is 3 now; choose another `out`"):
        sweep(dataclasses.replace(cfg, steps=3))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"recipes": ("nowhere",)}, "nowhere is neither a recipe"),
        ({"recipes": ("avoid", "avoid")}, "avoid twice"),
        ({"recipes": ()}, "needs a recipe"),
        ({"recipes": ("avoid",), "seeds": ()}, "needs a recipe"),
    ],
)
def test_a_sweep_refuses(options, message):
    with pytest.raises(UserError, match=message):
        sweep(SweepConfig(**options))


def trajectory(episode, **changed):
    rng, steps = np.random.default_rng(episode), episode + 1
    values = {
        "episode": episode,
        "seed": 7 + episode,
        "obs": {"state": rng.random((steps + 1, 4), np.float32), "a/b": np.zeros((steps + 1, 0), np.float32)},
        "actions": rng.random((steps, 2), np.float32),
        "rewards": rng.random(steps),
        "scores": rng.random(steps),
        "success": bool(episode % 2),
        "mode": -1,
        "reason": "time",
        "signals": {"intervening": rng.random(3) > 0.5},
        "start": "0a",
        "clipped": rng.random((steps, 2)) > 0.5,
    }
    return Trajectory(**(values | changed))


def assert_equal(one, other):
    for field in dataclasses.fields(Trajectory):
        a, b = getattr(one, field.name), getattr(other, field.name)
        for x, y in ((a[key], b[key]) for key in a) if isinstance(a, dict) else ((a, b),):
            np.testing.assert_array_equal(x, y)
            assert np.asarray(x).dtype == np.asarray(y).dtype


def test_kept_episodes_come_back_whole(tmp_path):
    made = [trajectory(episode) for episode in range(3)]
    kept = KeptEpisodes(tmp_path / "parts", "of this")
    kept.add(made[:2], ("success",))
    kept.add(made[2:], ())  # of a group that was stopped, nobody knows
    kept.add([trajectory(7, broken=True)], ())  # may do better, once more
    reopened = KeptEpisodes(tmp_path / "parts", "of this")
    for one, other in zip(made, reopened.load(), strict=True):
        assert_equal(one, other)
    assert reopened.info_keys == ("success",)


@pytest.mark.parametrize("damage", ["of another", "cut"])
def test_what_is_damaged_or_of_another_is_not_kept(tmp_path, damage):
    KeptEpisodes(tmp_path, "of another" if damage == "of another" else "this").add([trajectory(0)], ())
    (path,) = tmp_path.iterdir()
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-3])
    assert KeptEpisodes(tmp_path, "this").load() == []
    assert list(tmp_path.iterdir()) == []


def test_whether_an_environment_tells_of_success_is_one_word():
    """It does not depend on which episodes ran in one process, and before its first word."""
    ended = [trajectory(0, reason="terminated", success=False, tells_success=False), trajectory(1, reason="success")]
    assert [(t.reason, t.tells_success) for t in agreeing(ended)] == [("failure", True), ("success", True)]
    assert agreeing(ended[:1]) == ended[:1]
