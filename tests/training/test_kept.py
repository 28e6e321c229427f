"""Nothing that was finished is lost: checkpoints before rollouts, changed data noticed, full disks and early kills."""

import errno
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from robolearn.data.store import DemoStore
from robolearn.data.writer import DemoWriter
from robolearn.errors import user_errors
from robolearn.locks import HeldError, hold
from robolearn.rollout.clipping import Clipped
from robolearn.training import session as session_module
from robolearn.training.assemble import load_data, open_demos
from robolearn.training.episodes import Kept
from robolearn.training.run import Run

EARLIER = ["--steps", "4", "--checkpoint-every", "2", "--keep-every", "2"]


@pytest.fixture
def flags(tiny_flags, demos, tmp_path):
    return [*tiny_flags, "--dataset.path", str(demos), "--out", str(tmp_path / "run")]


@pytest.fixture
def run(tmp_path, train_main, flags):
    train_main([*flags, *EARLIER])
    return Run.open(tmp_path / "run")


def append_to(store, count, seed=7):
    rng = np.random.default_rng(seed)
    first = DemoStore.open(store).episode(0)
    with DemoWriter.append_to(store) as writer:
        for _ in range(count):
            noise = rng.standard_normal(first.obs["state"].shape).astype(np.float32)
            writer.append(type(first)({"state": noise}, first.actions + noise[:, :2]))


# ---- an early kill


def test_a_run_without_a_checkpoint_goes_on_from_the_beginning(run, train_main, tmp_path, read_metrics):
    reference = read_metrics(run.directory)
    shutil.rmtree(run.checkpoints)  # as a kill before the first checkpoint leaves it, with some metrics
    train_main(["--resume", str(run.directory)])
    assert read_metrics(run.directory) == reference
    assert run.last_step() == 4


def test_the_advice_of_train_can_be_followed(run, train_main, flags):
    shutil.rmtree(run.checkpoints)
    with pytest.raises(
        ValueError, match=f"exists; choose another `out`, or give `overwrite`, or `resume` {run.directory}"
    ):
        train_main([*flags, *EARLIER])
    train_main([*flags, *EARLIER, "--overwrite"])
    assert run.last_step() == 4


def test_two_at_once_are_refused_before_anything_is_done(run, train_main, flags):
    before = {path: path.read_bytes() for path in run.directory.rglob("*.json")}
    with hold(run.directory):
        for arguments in (["--resume", str(run.directory), "--steps", "9"], [*flags, "--overwrite"]):
            with pytest.raises(HeldError, match="is being written by process"):
                train_main(arguments)
    assert {path: path.read_bytes() for path in run.directory.rglob("*.json")} == before


# ---- demonstrations that changed


def test_a_run_does_not_go_on_with_other_demonstrations(run, train_main, demos):
    before = (run.directory / "data.json").read_text()
    append_to(demos, 2)
    with pytest.raises(ValueError, match=r"not the demonstrations that the run was trained on .* `changed_data`"):
        train_main(["--resume", str(run.directory), "--steps", "6"])
    assert (run.directory / "data.json").read_text() == before


def test_changed_demonstrations_are_recorded_and_what_was_held_out_stays_so(run, train_main, demos):
    before = run.data()
    assert before.validation_episodes
    append_to(demos, 20)  # a new split of 26 would hold others out
    train_main(["--resume", str(run.directory), "--steps", "6", "--changed-data"])
    after = run.data()
    assert after.validation_episodes == before.validation_episodes
    assert set(after.training_episodes) == set(range(26)) - set(before.validation_episodes)
    assert after.content_hash == DemoStore.open(demos).content_hash(["state", "action"]) != before.content_hash
    (earlier,) = after.earlier
    assert (earlier.content_hash, earlier.num_episodes, earlier.until_step) == (before.content_hash, 5, 4)
    train_main(["--resume", str(run.directory), "--steps", "8"])  # nothing has changed since
    assert run.data() == after


def test_numbers_of_a_later_store_move_with_the_growth_of_an_earlier_one(tmp_path, write_demos, train_main, tiny_flags):
    first, second = (write_demos(tmp_path / f"{name}.zarr", seed=seed) for seed, name in enumerate("ab"))
    flags = [*tiny_flags, "--dataset.path", str(first), str(second), "--dataset.validation-fraction", "0.5"]
    train_main([*flags, "--out", str(tmp_path / "run"), "--steps", "2"])
    run = Run.open(tmp_path / "run")
    before = run.data()
    append_to(first, 3)
    train_main(["--resume", str(run.directory), "--steps", "3", "--changed-data"])
    assert run.data().validation_episodes == tuple(i if i < 6 else i + 3 for i in before.validation_episodes)
    assert not set(run.data().validation_episodes) & set(run.data().training_episodes)


def test_a_store_that_shrank_is_refused_even_if_changes_are_accepted(run, train_main, demos, write_demos):
    shutil.rmtree(demos)
    write_demos(demos, lengths=(20,) * 4)
    with pytest.raises(ValueError, match="4 episodes, 6 when the run was begun; which of them were held out"):
        train_main(["--resume", str(run.directory), "--changed-data"])


def test_the_kept_split_counts_not_how_it_would_be_made_now(run, tmp_path):
    path = run.directory / "data.json"
    content = json.loads(path.read_text()) | {
        "validation_episodes": [4],
        "training_episodes": [0, 1, 1],
        "num_episodes": 3,
    }
    path.write_text(json.dumps(content))
    _, train, validation, facts = load_data(run.config(), open_demos(run.config()), "cpu", Kept(run.data(), 4))
    assert (facts.training_episodes, facts.validation_episodes) == ((0, 1, 1), (4,))
    assert (train.episodes.tolist(), validation.episodes.tolist()) == ([0, 1, 1], [4])


def test_held_out_episodes_that_are_gone_from_the_record_are_missed(run):
    path = run.directory / "data.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"validation_episodes": []}))
    with pytest.raises(ValueError, match=r"data\.json: validation_episodes is empty"):
        load_data(run.config(), open_demos(run.config()), "cpu", Kept(run.data(), 4))


@pytest.mark.parametrize(
    "change",
    [
        ["--dataset.validation-fraction", "0.5"],
        ["--dataset.split-seed", "3"],
        ["--dataset.num-episodes", "3"],
        ["--seed", "1"],
        ["--dataset.normalization", "zscore"],
        ["--obs-horizon", "2"],
    ],
)
def test_what_would_make_another_run_cannot_change(run, train_main, change):
    before = (run.directory / "config.json").read_text()
    field = change[0].removeprefix("--").replace("-", "_")
    with pytest.raises(ValueError, match=f"`{field}` .*cannot change when resuming, it was .*; start a new run"):
        train_main(["--resume", str(run.directory), *change])
    assert (run.directory / "config.json").read_text() == before


def test_a_run_works_from_any_directory(tmp_path, monkeypatch, tiny_flags, demos, train_main, eval_main, read_metrics):
    monkeypatch.chdir(tmp_path)
    train_main([*tiny_flags, *EARLIER, "--dataset.path", demos.name, "--out", "run"])
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    train_main(["--resume", "../run", "--steps", "6"])
    run = Run.open(tmp_path / "run")
    assert run.config().dataset.path == (demos,)
    assert run.config().out == tmp_path / "elsewhere" / ".." / "run"
    assert run.data().path == str(demos)
    moved = demos.rename(tmp_path / "moved.zarr")
    train_main(["--resume", "../run", "--steps", "8", "--dataset.path", "../moved.zarr"])
    assert run.config().dataset.path[0].samefile(moved)
    assert os.listdir() == []


# ---- rollouts


def roll(scores):
    """Stands in for rollouts: the score of each in turn; an exception is raised."""
    scores = iter(scores)

    def summarize(trajectories, **_):
        score = next(scores)
        if isinstance(score, Exception):
            raise score
        number = type("E", (), {"value": score})
        numbers = {"success": number, "max_score": number, "episode_return": number}
        return type("S", (), {**numbers, "num_broken": 0, "clipped": Clipped.from_trajectories([])})

    return summarize


ROLLING = ["--rollout-every", "2", "--rollout-episodes", "1", "--env.max-episode-steps", "2"]


def test_a_failing_rollout_is_a_warning_and_costs_neither_checkpoint_nor_training(
    tmp_path, train_main, flags, monkeypatch, capsys, read_metrics
):
    saved = []

    def fail(*_, **__):
        saved.append(Run(tmp_path / "run").last_step())
        raise RuntimeError("the simulator\nis gone")

    monkeypatch.setattr(session_module, "roll_out", fail)
    train_main([*flags, *ROLLING, "--steps", "4", "--checkpoint-every", "100"])
    assert saved == [2, 4]
    assert "warning: step 2: the rollout failed (RuntimeError: the simulator is gone)\n" in capsys.readouterr().err
    assert not [record for record in read_metrics(tmp_path / "run") if "rollout/success" in record]
    run = Run.open(tmp_path / "run")
    assert (run.last_step(), run.best_step()) == (4, None)


def test_a_rollout_of_broken_episodes_is_a_warning_and_costs_neither(
    tmp_path, write_demos, tiny_flags, train_main, capsys, read_metrics
):
    """The environment starts; every episode breaks in its third step."""
    demos = write_demos(tmp_path / "two.zarr", env_id="tests.rollout.bad_envs:bad/NanObs-v0", dims=2)
    rolling = ["--rollout-every", "2", "--rollout-episodes", "2", "--steps", "4", "--checkpoint-every", "100"]
    train_main([*tiny_flags, "--dataset.path", str(demos), "--out", str(tmp_path / "run"), *rolling, "--trust"])
    told = [line for line in capsys.readouterr().err.splitlines() if "the rollout failed" in line]
    assert [line.split(" failed")[0] for line in told] == [f"warning: step {step}: the rollout" for step in (2, 4)]
    assert all("all 2 episodes are broken; the first: observation 'state' is not finite" in line for line in told)
    assert not [record for record in read_metrics(tmp_path / "run") if any("rollout/" in name for name in record)]
    run = Run.open(tmp_path / "run")
    assert (run.last_step(), run.best_step()) == (4, None)


def test_a_failing_video_leaves_the_numbers(tmp_path, train_main, flags, monkeypatch, capsys, read_metrics):
    def fail(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(session_module, "write_mp4", fail)
    train_main([*flags, *ROLLING, "--steps", "2"])
    assert "step 2: the video failed (OSError: No space left on device)" in capsys.readouterr().err
    assert [record["step"] for record in read_metrics(tmp_path / "run") if "rollout/success" in record] == [2]


@pytest.mark.parametrize(
    ("scores", "best"),
    [([0.1, 0.9, 0.5], 4), ([0.9, 0.1, 0.5], 2), ([0.1, 0.2, ValueError()], 4), ([0.0, 0.0, 0.0], 2)],
)
def test_best_is_the_checkpoint_whose_own_rollout_scored_highest(
    tmp_path, train_main, flags, monkeypatch, scores, best
):
    monkeypatch.setattr(session_module, "summarize", roll(scores))
    monkeypatch.setattr(session_module, "write_mp4", lambda *_: None)
    train_main([*flags, *ROLLING, "--steps", "7", "--checkpoint-every", "1"])
    run = Run.open(tmp_path / "run")
    assert (run.best_step(), run.last_step()) == (best, 7)
    monkeypatch.setattr(session_module, "summarize", roll([max(s for s in scores if isinstance(s, float))] * 2))
    train_main(["--resume", str(run.directory), "--steps", "8"])  # no better than the best before: it stays
    assert run.best_step() == best


def test_a_rollout_that_a_kill_prevented_is_made_up_for(tmp_path, train_main, flags, monkeypatch, read_metrics):
    class Killed(BaseException):
        pass

    def kill(*_, **__):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(session_module, "roll_out", kill)
        with pytest.raises(Killed):
            train_main([*flags, *ROLLING, "--steps", "4"])
    run = Run.open(tmp_path / "run")
    assert (run.last_step(), run.best_step()) == (2, None)
    monkeypatch.setattr(session_module, "write_mp4", lambda *_: None)
    monkeypatch.setattr(session_module, "summarize", roll([0.7, 0.2]))
    train_main(["--resume", str(run.directory)])
    scores = {r["step"]: r["rollout/score"] for r in read_metrics(run.directory) if "rollout/score" in r}
    assert (scores, run.best_step()) == ({2: 0.7, 4: 0.2}, 2)


# ---- a full disk


def test_a_full_disk_is_one_line_that_says_what_is_kept(tmp_path, train_main, flags, monkeypatch, capsys):
    """At a checkpoint and at a record."""

    def full():
        return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    calls = []

    def write_bytes(path, content):
        calls.append(path)
        if len(calls) > 2:
            raise full()
        return written(path, content)

    written = Path.write_bytes
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", write_bytes)
        with pytest.raises(SystemExit), user_errors():
            train_main([*flags, *EARLIER])
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert "No space left on device" in line
    assert "last good checkpoint" in line
    assert f"go on with --resume {tmp_path / 'run'}" in line
    run = Run.open(tmp_path / "run")
    assert run.last_step() == 2
    assert not list(run.checkpoints.glob(".*"))  # what could not be written takes no room

    class Full:
        def write(self, _=None):
            raise full()

        close = flush = write

    with monkeypatch.context() as patch:
        original = session_module.MetricsFile

        def opened(*arguments):
            metrics = original(*arguments)
            metrics.file.close()
            metrics.file = Full()
            return metrics

        patch.setattr(session_module, "MetricsFile", opened)
        with pytest.raises(SystemExit), user_errors():
            train_main(["--resume", str(run.directory)])
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {run.directory / 'metrics.jsonl'}: No space left on device; last good checkpoint")
    train_main(["--resume", str(run.directory)])
    assert run.last_step() == 4
