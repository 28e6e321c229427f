"""One command trains an ensemble: members differ, hold the same episodes out, and stop, fail and go on together."""

import os
import shutil
import signal
import sys

import pytest
import torch
from safetensors.torch import load_file

from robolearn.data.demos import Demos
from robolearn.policies.ensemble import Ensemble
from robolearn.training.assemble import choose_episodes
from robolearn.training.config import DatasetConfig, TrainConfig
from robolearn.training.members import member_config, num_parallel
from robolearn.training.run import Run
from tests.processes import PATIENCE, ROOT, running, wait_for


@pytest.fixture
def flags(tiny_flags, demos, tmp_path):
    return [*tiny_flags, "--dataset.path", str(demos), "--out", str(tmp_path / "run")]


def weights(run):
    return load_file(run.checkpoint() / "policy.safetensors")


@pytest.mark.long
def test_members_differ_and_hold_the_same_episodes_out(
    tmp_path, train_main, tiny_flags, write_demos, read_metrics, capsys
):
    demos = write_demos(tmp_path / "demos.zarr", lengths=(5,) * 30)
    flags = [*tiny_flags, "--dataset.path", str(demos), "--out", str(tmp_path / "run")]
    train_main([*flags, "--steps", "4", "--num-members", "3", "--seed", "5"])
    assert "trained at step 4" in capsys.readouterr().out
    run = Run.open(tmp_path / "run")
    members = [run, *(Run.open(run.member(index)) for index in (1, 2))]
    assert run.members() == [member.checkpoint() for member in members]
    assert [member.config().seed for member in members] == [5, 6, 7]
    episodes = [choose_episodes(Demos.open([demos]), member.config()) for member in members]
    assert len({member.data().validation_episodes for member in members}) == 1
    held_out = set(run.data().validation_episodes)
    assert held_out
    drawn = [parts["train"].tolist() for parts in episodes]
    assert drawn[0] == sorted(set(range(30)) - held_out)
    assert drawn[1] != drawn[0] != drawn[2] != drawn[1]
    assert all(held_out.isdisjoint(some) for some in drawn)
    ensemble = Ensemble.load(run.members())
    noise = ensemble.noise(8, generator=torch.Generator().manual_seed(0))
    chunks = ensemble.act({"state": torch.zeros(8, 1, 4)}, noise)
    assert min((chunks[i] - chunks[j]).abs().max() for i, j in ((0, 1), (0, 2), (1, 2))) > 1e-4

    # A member is what its options alone would have trained.
    alone = ["--seed", "6", "--dataset.split-seed", "5", "--dataset.bootstrap"]
    train_main([*flags, "--steps", "4", *alone, "--out", str(tmp_path / "alone")])
    assert read_metrics(tmp_path / "alone") == read_metrics(run.member(1))
    by_hand = weights(Run.open(tmp_path / "alone"))
    assert all(torch.equal(by_hand[name], value) for name, value in weights(members[1]).items())


@pytest.mark.long
def test_a_run_becomes_an_ensemble_and_a_failing_member_is_named(tmp_path, train_main, flags, read_metrics):
    run = Run(tmp_path / "run")
    train_main([*flags, "--steps", "2"])
    before = read_metrics(run.directory)
    train_main(["--resume", str(run.directory), "--num-members", "2"])
    assert read_metrics(run.directory) == before
    damaged = run.members()[1] / "train.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:100])
    with pytest.raises(ValueError, match=r"^member 1: .*train.safetensors: damaged .* `resume` \S*run$") as caught:
        train_main(["--resume", str(run.directory), "--steps", "3"])
    assert "\n" not in str(caught.value)
    assert run.checkpoint().resolve().name == "00000003"  # the others are through
    shutil.rmtree(run.member(1) / "checkpoints")  # and what is left of a member that was killed early is done again
    train_main(["--resume", str(run.directory)])
    assert [path.resolve().name for path in run.members()] == ["00000003"] * 2


@pytest.mark.long
@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="members train one after the other on one core")
@pytest.mark.parametrize(
    ("kind", "started"),
    [(signal.SIGINT, 1), (signal.SIGINT, 2), pytest.param(signal.SIGKILL, 2, marks=pytest.mark.slow)],
)
def test_stopping_the_command_stops_and_saves_every_member(tmp_path, flags, kind, started):
    """Also where one has not begun to train, and where the first is killed and cannot tell the others."""
    run = Run(tmp_path / "run")
    endless = [*flags, "--num-members", "2", "--steps", "1000000", "--checkpoint-every", "1000000"]
    metrics = [directory / "metrics.jsonl" for directory in (run.directory, run.member(1))]
    with running([sys.executable, str(ROOT / "train.py"), *endless]) as process:
        wait_for(lambda: all(path.exists() and path.read_text().count("\n") > 3 for path in metrics[:started]), process)
        os.killpg(process.pid, kind)  # as a terminal does
        output, _ = process.communicate(timeout=PATIENCE)
    if kind == signal.SIGKILL:
        wait_for((run.member(1) / "checkpoints" / "last").exists)
        assert not (run.checkpoints / "last").exists()
        return
    assert process.returncode == 128 + kind, output
    assert "go on: python train.py --resume" in output
    assert "Traceback" not in output
    assert int(run.checkpoint().resolve().name) > 3
    if started == 2:
        assert int(run.members()[1].resolve().name) > 3


def test_members_start_their_own_processes(train_main, flags, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ValueError, match="`num_members` 2 starts its own processes; run it without torchrun"):
        train_main([*flags, "--num-members", "2"])


def test_as_many_members_at_once_as_find_a_core(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(7)))
    for threads, expected in ((1, 7), (2, 3), (7, 1), (9, 1)):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        assert num_parallel(torch.device("cpu")) == expected
    assert num_parallel(torch.device("cuda")) == 1


@pytest.mark.parametrize(("split_seed", "held_out_by"), [(None, 5), (2, 2)])
def test_what_a_member_trains(tmp_path, split_seed, held_out_by):
    """Another seed, on a bootstrap, with the run's own episodes held out."""
    cfg = TrainConfig(dataset=DatasetConfig(split_seed=split_seed), seed=5, num_members=3, out=tmp_path)
    member = member_config(cfg, 2)
    assert (member.seed, member.num_members, member.out) == (7, 1, tmp_path / "members" / "2")
    assert (member.dataset.bootstrap, member.dataset.split_seed) == (True, held_out_by)
