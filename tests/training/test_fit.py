"""The loop: what it records, several processes, and periodic rollouts."""

import contextlib
import dataclasses
import json
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from robolearn.data.demos import Demos
from robolearn.data.store import DemoStore
from robolearn.errors import UserError, exit_status
from robolearn.policies.flow import Flow
from robolearn.policies.policy import Policy
from robolearn.rollout.env_config import EnvConfig
from robolearn.rollout.environments import make_env
from robolearn.training.assemble import choose_episodes
from robolearn.training.config import DatasetConfig, TrainConfig
from robolearn.training.device import Processes, choose_device, usable_device
from robolearn.training.run import Run
from robolearn.training.signals import passed_on, stop_signal
from tests.processes import PATIENCE, ROOT, running


@pytest.mark.parametrize(
    "model",
    [["regression", "mlp"], ["diffusion", "unet"], pytest.param(["flow", "transformer"], marks=pytest.mark.long)],
)
def test_the_loss_falls(tmp_path, train_main, tiny_flags, demos, read_metrics, model):
    out = tmp_path / "run"
    small = {
        "mlp": ["--backbone.width", "32"],
        "unet": ["--backbone.widths", "8", "16"],
        "transformer": ["--backbone.width", "16"],
    }[model[1]]
    flags = [*model, *small, *tiny_flags[6:], "--dataset.path", str(demos), "--out", str(out)]
    train_main([*flags, "--steps", "90", "--batch-size", "64", "--lr", "1e-2", "--log-every", "30"])
    losses = [record["loss"] for record in read_metrics(out) if "loss" in record]
    assert len(losses) == 3
    assert losses[-1] < 0.95 * losses[0]  # of a random walk, of which little can be told


def test_the_seed_fixes_the_run(tmp_path, train_main, tiny_flags, demos, read_metrics):
    runs = {}
    for name, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        flags = [*tiny_flags, "--dataset.path", str(demos), "--steps", "4", "--seed", seed]
        train_main([*flags, "--out", str(tmp_path / name)])
        runs[name] = read_metrics(tmp_path / name)
    assert runs["a"] == runs["b"] != runs["c"]


@pytest.mark.parametrize("method", ["sample", "validation_loss"])
def test_what_is_asked_of_a_family_at_the_end_is_tried_behind_the_first_step(
    tmp_path, train_main, tiny_flags, demos, monkeypatch, method
):
    monkeypatch.setattr(Flow, method, lambda *_: torch.zeros(7))
    monkeypatch.setattr("robolearn.training.fit.save", lambda *_: pytest.fail("it was trained to its end"))
    with pytest.raises(UserError, match=rf"Flow\.{method} returned a tensor \[7\]; expected a tensor"):
        train_main([*tiny_flags, "--dataset.path", str(demos), "--steps", "9", "--out", str(tmp_path / "run")])


def test_a_family_that_draws_for_itself_is_refused_behind_the_first_step(
    tmp_path, train_main, tiny_flags, demos, monkeypatch
):
    """Its chunks would be in no seed: no evaluation could be repeated, and no other runtime would give them."""
    sample = Flow.sample
    monkeypatch.setattr(Flow, "sample", lambda *given: sample(*given) + 0.1 * torch.randn(1))
    with pytest.raises(UserError, match=r"^Flow\.sample gave two chunks of one noise; "):
        train_main([*tiny_flags, "--dataset.path", str(demos), "--steps", "9", "--out", str(tmp_path / "run")])


def test_a_family_whose_chunks_are_no_numbers_is_refused_behind_the_first_step(
    tmp_path, train_main, tiny_flags, demos, monkeypatch
):
    sample = Flow.sample
    monkeypatch.setattr(Flow, "sample", lambda *given: sample(*given) / 0)
    with pytest.raises(UserError, match=r"^behind the first step Flow\.sample gave chunks that are not finite; "):
        train_main([*tiny_flags, "--dataset.path", str(demos), "--steps", "3", "--out", str(tmp_path / "run")])


def test_a_trial_of_sampling_changes_no_weight(tmp_path, train_main, tiny_flags, demos, monkeypatch):
    """Not even where sampling draws from torch's own stream, as dropout does."""
    sample, asked, weights = Flow.sample, [], {}
    monkeypatch.setattr(Flow, "sample", lambda *given: (asked.append(torch.randn(5)), sample(*given))[1])
    for name in ("tried", "untried"):
        flags = [*tiny_flags, "--dataset.path", str(demos), "--backbone.dropout", "0.5", "--steps", "3"]
        train_main([*flags, "--out", str(tmp_path / name)])
        weights[name] = load_file(tmp_path / name / "checkpoints" / "last" / "policy.safetensors")
        assert len(asked) == 2
        monkeypatch.setattr("robolearn.training.fit.rehearse", lambda *_: None)
    assert weights["tried"].keys() == weights["untried"].keys()
    assert all(torch.equal(tensor, weights["untried"][key]) for key, tensor in weights["tried"].items())


def test_the_facts_of_the_data_are_kept(tmp_path, train_main, tiny_flags, demos):
    out = tmp_path / "run"
    train_main([*tiny_flags, "--dataset.path", str(demos), "--steps", "1", "--out", str(out)])
    data, cfg = Run.open(out).data(), Run.open(out).config()
    assert (data.num_episodes, data.num_steps, len(data.validation_episodes)) == (5, 100, 1)
    assert (data.control_dt, cfg.env.id, cfg.dataset.obs_keys) == (
        0.05,
        "envs:robolearn/Avoid-v0",
        ("state",),
    )


@pytest.mark.parametrize(("short", "steps"), [("drop", 100), ("pad", 116)])
def test_episodes_shorter_than_a_window(tmp_path, train_main, tiny_flags, write_demos, short, steps):
    """A window of 2 observations and 16 actions, the first of them at the last observation, spans 17 steps."""
    demos = write_demos(tmp_path / "demos.zarr", lengths=(20, 20, 16, 20, 20, 20))
    flags = [*tiny_flags, "--dataset.path", str(demos), "--steps", "1", "--dataset.validation-fraction", "0"]
    flags += ["--action-horizon", "16"]
    two = [*flags, "--obs-horizon", "2"]
    with pytest.raises(ValueError, match=f"{demos}: episode 2 has 16 steps, a window 17"):
        train_main([*two, "--out", str(tmp_path / "refused")])
    train_main([*two, "--out", str(tmp_path / "run"), "--dataset.short-episodes", short])
    assert Run.open(tmp_path / "run").data().num_steps == steps
    train_main([*flags, "--out", str(tmp_path / "one_observation")])


def test_padding_counts_where_it_is_held(tmp_path, train_main, tiny_flags, demos, read_metrics):
    """In training and validation alike; the network, its start and the noise are the same."""
    flags, losses = [*tiny_flags, "--dataset.path", str(demos), "--steps", "1"], {}
    for padding in ("masked", "held"):
        train_main([*flags, "--out", str(tmp_path / padding), "--dataset.padding", padding])
        losses[padding] = {k: v for r in read_metrics(tmp_path / padding) for k, v in r.items() if k.endswith("loss")}
    assert losses["held"].keys() == {"loss", "validation_loss"}
    assert all(losses["held"][name] > losses["masked"][name] for name in losses["held"])


def test_stores_are_mixed(tmp_path, train_main, tiny_flags, demos, write_demos):
    """The second holds corrections that are shorter than a window."""
    short = write_demos(tmp_path / "short.zarr", lengths=(3, 2, 2, 3), seed=1)
    flags = [*tiny_flags, "--steps", "1", "--dataset.path", str(demos), str(short)]
    with pytest.raises(ValueError, match=r"short.zarr: episode 0 has 3 steps, a window 4 \(4 of 4 episodes"):
        train_main([*flags, "--out", str(tmp_path / "refused")])
    train_main([*flags, "--out", str(tmp_path / "run"), "--dataset.short-episodes", "pad"])
    data, cfg = Run.open(tmp_path / "run").data(), Run.open(tmp_path / "run").config()
    assert (data.path, cfg.dataset.path) == (f"{demos} + {short}", (demos, short))
    assert (data.num_episodes, len(data.validation_episodes), data.control_dt) == (8, 2, 0.05)
    lengths = np.array([20] * 6 + [3, 2, 2, 3])
    assert data.num_steps == lengths.sum() - lengths[list(data.validation_episodes)].sum()


def test_a_bootstrap_leaves_out_what_is_held_out(demos):
    dataset = DatasetConfig((demos,), validation_fraction=0.2, split_seed=7)
    plain = choose_episodes(Demos.open([demos]), TrainConfig(dataset=dataset, seed=3))
    for seed in range(10):
        cfg = TrainConfig(dataset=dataclasses.replace(dataset, bootstrap=True), seed=seed)
        parts = choose_episodes(Demos.open([demos]), cfg)
        np.testing.assert_array_equal(parts["validation"], plain["validation"])
        assert set(parts["train"]) <= set(plain["train"])
        assert len(parts["train"]) == len(plain["train"])


def test_the_store_says_how_its_environment_is_made(tmp_path, train_main, tiny_flags, write_demos):
    demos = write_demos(tmp_path / "demos.zarr", env_kwargs={"width": 64, "height": 48})
    out = tmp_path / "run"
    flags = [*tiny_flags, "--dataset.path", str(demos), "--steps", "1"]
    train_main([*flags, "--out", str(out), "--env.kwargs", "width", "32"])
    env = Run.open(out).config().env
    assert env == EnvConfig("envs:robolearn/Avoid-v0", {"width": 32, "height": 48})
    assert make_env(env).unwrapped.task.num_modes == 24
    train_main([*flags, "--out", str(tmp_path / "other"), "--env.id", "envs:robolearn/PushT-v0"])
    assert Run.open(tmp_path / "other").config().env == EnvConfig("envs:robolearn/PushT-v0")


def test_the_normalizer_sees_training_episodes_only(tmp_path, train_main, tiny_flags, demos):
    out = tmp_path / "run"
    train_main([*tiny_flags, "--dataset.path", str(demos), "--steps", "1", "--out", str(out)])
    held_out = Run.open(out).data().validation_episodes
    store = DemoStore.open(demos)
    rows = np.concatenate([store.episode(i).actions for i in range(store.num_episodes) if i not in held_out])
    low, high = torch.from_numpy(rows.min(0)), torch.from_numpy(rows.max(0))
    normalizer = Policy.load(Run.open(out).checkpoint()).normalizer
    torch.testing.assert_close(normalizer.normalize("action", low), -torch.ones(2))
    torch.testing.assert_close(normalizer.normalize("action", high), torch.ones(2))


@pytest.mark.slow
def test_a_compiled_loss_is_the_same(tmp_path, tiny_flags, demos, read_metrics):
    losses = []
    for name, flag in (("plain", "--no-compile"), ("compiled", "--compile")):
        flags = [*tiny_flags, "--dataset.path", str(demos), "--steps", "3", "--log-every", "1", flag]
        command = [sys.executable, str(ROOT / "train.py"), *flags, "--out", str(tmp_path / name)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=500, check=False)
        assert done.returncode == 0, done.stderr
        losses.append([record["loss"] for record in read_metrics(tmp_path / name) if "loss" in record])
    np.testing.assert_allclose(*losses, rtol=1e-4)


def test_rollouts_while_training(tmp_path, train_main, tiny_flags, demos, read_metrics):
    out = tmp_path / "run"
    flags = [*tiny_flags, "--dataset.path", str(demos), "--steps", "4", "--out", str(out)]
    try:
        train_main([*flags, "--rollout-every", "2", "--rollout-episodes", "2", "--env.max-episode-steps", "5"])
    except RuntimeError as error:
        pytest.skip(f"this machine cannot render: {error}")
    records = [r for r in read_metrics(out) if "rollout/success" in r]
    assert [r["step"] for r in records] == [2, 4]
    assert sorted(p.name for p in (out / "videos").iterdir()) == ["step_00000002.mp4", "step_00000004.mp4"]


def train_with_processes(arguments, count):
    """Run train.py as torchrun would, on CPU."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, str(ROOT / "train.py"), *arguments]
    everywhere = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "GLOO_SOCKET_IFNAME": "lo"}
    with contextlib.ExitStack() as stack:
        processes = []
        for rank in map(str, range(count)):
            numbers = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": str(count)}
            processes.append(stack.enter_context(running(command, **everywhere, **numbers)))
        outputs = [process.communicate(timeout=PATIENCE)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * count, "\n".join(outputs)
    return outputs


@pytest.mark.long
@pytest.mark.parametrize("validation", [pytest.param("0", marks=pytest.mark.slow), "0.2"])
def test_two_processes_train_as_one(tmp_path, train_main, tiny_flags, demos, read_metrics, validation):
    flags = [*tiny_flags, "--dataset.path", str(demos), "--steps", "12", "--log-every", "3"]
    flags += ["--dataset.validation-fraction", validation, "--checkpoint-every", "4"]
    one, two = tmp_path / "one", tmp_path / "two"
    train_main([*flags, "--out", str(one)])
    outputs = train_with_processes([*flags, "--out", str(two)], 2)
    assert "trained at step 12" in outputs[0]
    assert outputs[1].strip() == ""
    records = read_metrics(one), read_metrics(two)
    assert len(records[0]) == len(records[1])
    for a, b in zip(*records, strict=True):
        assert a.keys() == b.keys()
        np.testing.assert_allclose(list(a.values()), list(b.values()), rtol=1e-4)
    assert {"loss", "validation_loss"}.issubset({k for r in records[1] for k in r}) == (validation != "0")
    weights = [load_file(Run.open(run).checkpoint() / "policy.safetensors") for run in (one, two)]
    for name in weights[0]:
        torch.testing.assert_close(weights[0][name], weights[1][name], rtol=1e-3, atol=1e-4)


def test_a_joint_batch_must_be_dealt_out_evenly():
    processes = Processes(torch.device("cpu"))
    processes.count, processes.rank = 3, 1
    assert processes.share(9) == slice(3, 6)
    with pytest.raises(ValueError, match="`batch_size` 8 must be a multiple of the 3 processes"):
        processes.share(8)


def test_the_device_is_checked(monkeypatch):
    assert choose_device("cpu", threads=1) == torch.device("cpu")
    with pytest.raises(ValueError, match=r"`threads` 9+ must be at least 1 and at most 4096"):
        choose_device("cpu", threads=10**23 - 1)
    with pytest.raises(ValueError, match="`device` gpu: choose from auto, cpu, cuda"):
        choose_device("gpu", threads=1)
    with pytest.raises(ValueError, match="`threads` 0 must be at least 1"):
        choose_device("cpu", threads=0)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto", threads=1) == torch.device("cpu")
    with pytest.raises(ValueError, match="`device` cuda: this machine has no usable CUDA device"):
        choose_device("cuda", threads=1)


@pytest.mark.parametrize("choose", [choose_device, usable_device])
def test_double_precision_as_torchs_default_is_one_line(monkeypatch, choose):
    """Sound weights were called damaged, and trainings failed in their first step."""
    monkeypatch.setattr(torch, "get_default_dtype", lambda: torch.float64)
    with pytest.raises(UserError, match=r"made torch.float64 torch's default; call torch.set_default_dtype"):
        choose("cpu")


def test_a_second_signal_ends_at_once():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # it may be ignored in the background
    with stop_signal() as stopped:
        assert not stopped()
        signal.raise_signal(signal.SIGINT)
        assert stopped()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    signal.signal(signal.SIGINT, before)


def test_a_thread_trains_without_handlers_of_its_own():
    before = signal.getsignal(signal.SIGINT)

    def handlers():
        with stop_signal() as stopped:
            return stopped(), signal.getsignal(signal.SIGINT)

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(handlers).result() == (False, before)


def test_a_signal_at_the_last_step_is_passed_on():
    """The loop has ended as if there had been none; what would begin behind it does not."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    def end_well():
        with passed_on(), stop_signal():
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(KeyboardInterrupt) as stop:
        end_well()
    assert exit_status(stop.value) == 143
    with passed_on(), stop_signal():  # the earlier one is no reason to stop
        pass
    signal.signal(signal.SIGINT, before)


def test_records_are_plain_json(tmp_path, train_main, tiny_flags, demos):
    out = tmp_path / "run"
    train_main([*tiny_flags, "--dataset.path", str(demos), "--steps", "2", "--out", str(out)])
    for line in (out / "metrics.jsonl").read_text().splitlines():
        record = json.loads(line)
        assert isinstance(record["step"], int)
        assert record.keys() in (
            {"step", "loss", "grad_norm", "lr", "steps_per_s"},
            {"step", "validation_loss"},
        )
