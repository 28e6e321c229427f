"""Going on is the same as never having stopped."""

import contextlib
import os
import shutil
import signal
import sys
import time

import pytest
import torch
from safetensors.torch import load_file

from robolearn.errors import UserError
from robolearn.policies.policy import Policy
from robolearn.training import session
from robolearn.training.config import TrainConfig
from robolearn.training.run import Run
from robolearn.training.train import train
from tests.processes import PATIENCE, ROOT, running, wait_for

STEPS = ["--steps", "12", "--checkpoint-every", "6", "--keep-every", "6"]


def assert_same_state(one, other):
    for file in ("train.safetensors", "policy.safetensors"):
        a, b = (load_file(Run.open(run).checkpoint() / file) for run in (one, other))
        assert a.keys() == b.keys()
        # Bytes, so that NaN would equal NaN.
        assert [name for name in a if a[name].numpy().tobytes() != b[name].numpy().tobytes()] == []


def cut_at(run, step, copy):
    """Copy a run as it was at a kept step, with the metrics that it had written since."""
    shutil.copytree(run, copy, symlinks=True)
    (copy / "checkpoints" / "last").unlink()
    (copy / "checkpoints" / "last").symlink_to(f"{step:08d}")
    (copy / "checkpoints" / "best").unlink(missing_ok=True)
    for later in (copy / "checkpoints").glob("0*"):
        if int(later.name) > step:
            shutil.rmtree(later)
    return copy


def also(*model):
    """A model whose state is like another's: not in the default run."""
    return pytest.param(list(model), marks=pytest.mark.slow)


@pytest.mark.parametrize(
    "model",
    [
        also("flow", "mlp", "--backbone.width", "16", "--prefix-horizon", "2"),
        ["diffusion", "transformer", "--backbone.width", "16", "--backbone.dropout", "0.2"],
        ["flow", "mlp", "--backbone.width", "16", "--chunk-frame", "relative", "--obs-noise", "0.1"],
        also("regression", "unet", "--backbone.widths", "8", "16", "--backbone.num-groups", "4"),
        also("tokens", "mlp", "--backbone.width", "16", "--family.num-bins", "4"),
        [
            "tokens",
            "lstm",
            "--backbone.width",
            "16",
            "--family.variant",
            "residual-vq",
            "--family.quantiser-share",
            "0.7",
        ],
        ["gan", "mlp", "--backbone.width", "16", "--family.critic-steps", "2"],
        also("gan", "mlp", "--backbone.width", "16", "--family.objective", "hinge"),
        ["gan", "mlp", "--backbone.width", "16", "--family.objective", "wgan-gp", "--family.optimizer", "cgd"],
    ],
    ids="-".join,
)
@pytest.mark.parametrize("amp", ["off", pytest.param("on", marks=pytest.mark.slow)])
def test_two_halves_equal_the_whole(tmp_path, train_main, tiny_flags, demos, read_metrics, model, amp):
    flags = [*model, *tiny_flags[6:], *STEPS, "--dataset.path", str(demos), "--amp", amp]
    whole = tmp_path / "whole"
    train_main([*flags, "--out", str(whole)])
    half = cut_at(whole, 6, tmp_path / "half")
    train_main(["--resume", str(half)])
    assert_same_state(whole, half)
    assert read_metrics(half) == read_metrics(whole)


def test_the_resumed_options_are_those_of_the_run(tmp_path, train_main, tiny_flags, demos):
    out = tmp_path / "run"
    train_main([*tiny_flags, *STEPS, "--dataset.path", str(demos), "--out", str(out)])
    before = Run.open(out).config()
    train_main([f"--resume={out}", "--steps", "14"])
    after = Run.open(out).config()
    assert (after.steps, after.batch_size, after.dataset) == (14, before.batch_size, before.dataset)
    assert Run.open(out).checkpoint().resolve().name == "00000014"


def test_resume_remembers_the_best(tmp_path, train_main, tiny_flags, demos):
    whole = tmp_path / "whole"
    train_main([*tiny_flags, *STEPS, "--dataset.path", str(demos), "--out", str(whole)])
    half = cut_at(whole, 6, tmp_path / "half")
    (half / "checkpoints" / "best").symlink_to("00000006")
    with (half / "metrics.jsonl").open("a") as file:
        file.write('{"step": 6, "validation_loss": 0.0}\n')  # cannot be beaten
    train_main(["--resume", str(half)])
    assert Run.open(half).best_step() == 6
    assert Run.open(whole).best_step() == 12


CHANGES = [["regression"], ["flow", "unet"], ["flow", "--family.steps", "3"], ["--vision.width", "8"]]


def test_family_and_backbone_cannot_change(tmp_path, train_main, tiny_flags, demos):
    out = tmp_path / "run"
    train_main([*tiny_flags, "--steps", "2", "--dataset.path", str(demos), "--out", str(out)])
    for change in CHANGES:
        with pytest.raises(
            ValueError, match="family, backbone and vision cannot change when resuming; start a new run"
        ):
            train_main([*change, "--resume", str(out)])


def test_a_finished_run_has_nothing_to_do(tmp_path, train_main, tiny_flags, demos, read_metrics):
    out = tmp_path / "run"
    train_main([*tiny_flags, "--steps", "2", "--dataset.path", str(demos), "--out", str(out)])
    before = read_metrics(out)
    train_main(["--resume", str(out)])
    assert read_metrics(out) == before


def start(arguments):
    return running([sys.executable, str(ROOT / "train.py"), *arguments])


@pytest.mark.long
@pytest.mark.parametrize("kind", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
def test_a_signal_saves_and_ends_with_its_status(tmp_path, train_main, tiny_flags, demos, read_metrics, kind):
    out = tmp_path / "run"
    flags = [*tiny_flags, "--dataset.path", str(demos)]
    metrics = out / "metrics.jsonl"
    with start([*flags, "--steps", "1000000", "--checkpoint-every", "1000000", "--out", str(out)]) as process:
        wait_for(lambda: metrics.exists() and metrics.read_text().count("\n") > 3, process)
        process.send_signal(kind)
        output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 128 + kind, output
    assert "go on: python train.py --resume" in output
    stopped = int(Run.open(out).checkpoint().resolve().name)
    assert [r["step"] for r in read_metrics(out) if "loss" in r] == list(range(1, stopped + 1))
    if kind is signal.SIGTERM:  # and it goes on from there
        train_main(["--resume", str(out), "--steps", str(stopped + 3)])
        assert Run.open(out).checkpoint().resolve().name == f"{stopped + 3:08d}"
        assert [r["step"] for r in read_metrics(out) if "loss" in r] == list(range(1, stopped + 4))


@pytest.mark.long
@pytest.mark.parametrize("delays", [(0.013,), pytest.param((0.0, 0.013, 0.05, 0.11), marks=pytest.mark.slow)], ids=len)
def test_a_kill_leaves_a_loadable_checkpoint(tmp_path, train_main, tiny_flags, demos, read_metrics, delays):
    """Killed at random moments of a run that does little but save, then resumed, once or four times over."""
    out = tmp_path / "run"
    flags = [*tiny_flags, "--dataset.path", str(demos), "--steps", "1000000", "--checkpoint-every", "1"]
    last, newest = out / "checkpoints" / "last", -1
    for delay in delays:
        before = os.readlink(last) if last.exists() else ""
        with start(["--resume", str(out)] if last.exists() else [*flags, "--out", str(out)]) as process:
            wait_for(lambda before=before: last.is_symlink() and os.readlink(last) != before, process)
            time.sleep(delay)
        Policy.load(Run.open(out).checkpoint())
        with contextlib.suppress(ValueError):  # none was the best yet
            Policy.load(Run.open(out).checkpoint("best"))
        step = int(os.readlink(last))
        assert step > newest
        newest = step
    train_main(["--resume", str(out), "--steps", str(newest + 2)])
    assert [r["step"] for r in read_metrics(out) if "loss" in r] == list(range(1, newest + 3))
    assert sorted(p.name for p in (out / "checkpoints").glob(".*")) == []


def test_what_environments_draw_in_rollouts_is_nothing_to_the_training(
    tmp_path, train_main, tiny_flags, demos, monkeypatch
):
    """Dropout draws from torch's own stream, which an environment may draw from, too, or seed at every reset."""

    def draw(*_, **__):
        torch.manual_seed(1)
        raise UserError("no rollout")

    monkeypatch.setattr(session, "roll_out", draw)
    flags = [*tiny_flags, "--dataset.path", str(demos), "--steps", "4", "--backbone.dropout", "0.5"]
    for name, every in (("alone", "0"), ("rolled", "1")):
        train_main([*flags, "--rollout-every", every, "--out", str(tmp_path / name)])
    assert_same_state(tmp_path / "alone", tmp_path / "rolled")


def test_what_goes_on_has_to_be_named():
    with pytest.raises(UserError, match="`out` names the run that is to go on"):
        train(TrainConfig(), resume=True)
