"""Commands and functions with URLs: what another machine needs is there, and nothing else is needed."""

import json

import numpy as np
import pytest

import robolearn as rl
from robolearn.commands.main import run as command
from robolearn.data.store import DemoStore
from robolearn.data.writer import DemoWriter
from robolearn.paths import place_of, url_of
from robolearn.remote.storage import RemoteError
from robolearn.training.run import Run
from robolearn.types import Episode

STORE, RUN = "bucket://b/demos.zarr", "bucket://b/runs/x"
SMALL = ["--episodes", "2", "--videos", "0", "--device", "cpu", "--threads", "1"]


@pytest.fixture
def store(bucket, on_machine, write_demos):
    """Demonstrations in the bucket, written on a machine of their own."""
    on_machine("recorder")
    write_demos(STORE)
    on_machine("here")


@pytest.fixture
def train(store, tiny_flags):
    def run(*flags):
        command("train", [*tiny_flags, "--dataset.path", STORE, *flags], "python train.py")

    return run


def test_a_run_is_trained_resumed_elsewhere_and_evaluated_on_a_third_machine(
    train, on_machine, bucket, capsys, with_page
):
    train("--steps", "4", "--checkpoint-every", "2", "--out", RUN)
    assert f"trained at step 4: {RUN}" in capsys.readouterr().out
    assert bucket.store["/b/runs/x/checkpoints/last.link"].getvalue() == b"00000004"
    config = json.loads(bucket.store["/b/runs/x/config.json"].getvalue())
    assert (config["out"], config["dataset"]["path"]) == (RUN, [STORE])
    assert json.loads(bucket.store["/b/runs/x/data.json"].getvalue())["path"] == STORE
    on_machine("second")
    command("train", ["--resume", RUN, "--steps", "6", "--device", "cpu", "--threads", "1"], "python train.py")
    assert f"trained at step 6: {RUN}" in capsys.readouterr().out
    on_machine("third")
    command("eval", [RUN, *SMALL], "python eval.py")
    assert len(bucket.store["/b/runs/x/eval/episodes.jsonl"].getvalue().splitlines()) == 2
    assert f"python eval.py {RUN}" in bucket.store["/b/runs/x/eval/report.html"].getvalue().decode()
    on_machine("here")
    assert Run.open(RUN).last_step() == 6
    assert (place_of(RUN) / "eval/summary.json").exists()


def test_training_goes_on_without_the_network_and_the_last_upload_brings_all(train, bucket, capsys, monkeypatch):
    saved = Run.save

    def unplug(run, state, **how):
        saved(run, state, **how)
        bucket.left = 0 if state.step == 2 else None

    monkeypatch.setattr(Run, "save", unplug)
    train("--steps", "4", "--checkpoint-every", "2", "--out", RUN)
    assert "warning: step 2: bucket://b/runs/x cannot be written" in capsys.readouterr().err
    assert bucket.store["/b/runs/x/checkpoints/last.link"].getvalue() == b"00000004"


def test_a_training_that_cannot_be_sent_in_the_end_says_where_it_is(train, bucket, capsys, monkeypatch, on_machine):
    saved = Run.save
    monkeypatch.setattr(Run, "save", lambda run, state, **how: (saved(run, state, **how), setattr(bucket, "left", 0)))
    with pytest.raises(SystemExit):
        train("--steps", "2", "--out", RUN)
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith(f"error: {RUN} cannot be written (ConnectionError: unplugged)")
    assert str(place_of(RUN)) in said
    assert Run(RUN).last_step() == 2
    bucket.left = None
    Run.open(RUN)  # any use sends it
    on_machine("there")
    assert Run.open(RUN).last_step() == 2


def test_what_stands_in_the_way_is_said_before_training(train, bucket, capsys):
    bucket.left = 0
    with pytest.raises(SystemExit):
        train("--steps", "2", "--out", RUN)
    assert "cannot be written" in capsys.readouterr().err
    assert Run(RUN).last_step() is None


def test_an_overwritten_run_leaves_nothing_of_the_one_before(train, bucket, on_machine):
    train("--steps", "4", "--checkpoint-every", "2", "--keep-every", "2", "--out", RUN)
    on_machine("there")
    train("--steps", "2", "--out", RUN, "--overwrite")
    steps = {name.split("/")[5] for name in bucket.store if "checkpoints/0" in name}
    assert steps == {"00000002"}


def test_mistakes_name_the_url(on_machine, bucket, capsys):
    for verb, arguments in (("eval", ["bucket://b/typo"]), ("inspect", ["bucket://b/typo"]), ("eval", ["nope://b/x"])):
        with pytest.raises(SystemExit):
            command(verb, arguments, f"robolearn {verb}")
        said = capsys.readouterr().err
        assert said.startswith(f"error: {arguments[0]}")
        assert len(said.splitlines()) == 1
    with pytest.raises(SystemExit):
        command("bench", ["triangle", "--out=bucket://b/x"], "robolearn bench")
    assert "bench works on folders of this machine" in capsys.readouterr().err


def test_values_of_kwargs_are_nobodys_paths(on_machine, capsys):
    with pytest.raises(SystemExit):
        command("collect", ["envs:robolearn/Nope-v0", "--out", "x", "--env.kwargs", "url", "nope://x"], "collect")
    assert "Nope-v0" in capsys.readouterr().err


def test_a_collection_goes_on_on_another_machine(bucket, on_machine, capsys):
    def collect(episodes):
        flags = ["--episodes", str(episodes), "--num-envs", "2", "--out", STORE]
        command("collect", ["envs:robolearn/Avoid-v0", *flags], "robolearn collect")
        return capsys.readouterr().out

    assert f"{STORE}: 2 episodes;" in collect(2)
    on_machine("there")
    assert f"{STORE}: 3 episodes, 2 of them there before" in collect(3)
    on_machine("third")
    assert DemoStore.open(STORE).num_episodes == 3


def test_an_append_that_is_cut_anywhere_leaves_the_episodes_before_readable(store, bucket, on_machine):
    episode = Episode(obs={"state": np.zeros((5, 4), np.float32)}, actions=np.zeros((5, 2), np.float32))
    bucket.halves = False  # chunks are replaced in place; an object store does that whole
    for left in range(8):
        on_machine("here")
        writer = DemoWriter.append_to(STORE)
        before = writer.num_episodes
        bucket.left = left
        try:
            writer.append(episode)
        except RemoteError:
            bucket.left = None
            on_machine(f"reader {left}")
            reader = DemoStore.open(STORE)
            assert reader.num_episodes == before
            assert len(reader.content_hash(["state", "action"])) == 64  # every chunk is read
            on_machine("here")
            assert DemoStore.open(STORE).num_episodes == before + 1
        bucket.left = None
    on_machine("last")
    assert DemoStore.open(STORE).num_episodes == 6 + 8


@pytest.mark.slow
def test_the_members_of_an_ensemble_are_sent_by_their_processes(tmp_path, on_machine, write_demos, tiny_flags):
    store, run = (f"file://{tmp_path}/bucket/{name}" for name in ("demos.zarr", "run"))
    write_demos(store)
    flags = [*tiny_flags, "--dataset.path", store, "--steps", "2", "--num-members", "2", "--out", run]
    command("train", flags, "python train.py")
    on_machine("there")
    assert Run.open(run).is_complete()
    assert len(Run.open(run).members()) == 2


def test_functions_take_urls(store, on_machine, tiny_flags):
    cfg = rl.TrainConfig(
        rl.FAMILIES["flow"](),
        rl.BACKBONES["mlp"](width=16, depth=1),
        rl.DatasetConfig(STORE),
        obs_horizon=1,
        action_horizon=4,
        exec_horizon=2,
        steps=2,
        batch_size=8,
        warmup_steps=1,
        out=RUN,
        device="cpu",
        threads=1,
        wandb=False,
    )
    assert url_of(rl.train(cfg).directory) == RUN
    on_machine("there")
    assert rl.load_policy(RUN).cfg.action_dim == 2
