"""Shared by all tests: one thread, no Weights & Biases, tiny data and policies, the two commands, a renderer."""

import functools
import gc
import json
import os
import shutil
from pathlib import Path

import hypothesis
import numpy as np
import pytest
import torch

import robolearn.commands.eval
import robolearn.commands.train
import robolearn.evaluation.evaluate
from robolearn.bench import measuring
from robolearn.data.attrs import StoreAttrs
from robolearn.data.normalizer import Normalizer
from robolearn.data.writer import DemoWriter
from robolearn.nets.lstm import LSTMConfig
from robolearn.nets.mlp import MLPConfig
from robolearn.nets.transformer import TransformerConfig
from robolearn.nets.unet import UNetConfig
from robolearn.nets.vision import VisionConfig
from robolearn.policies.policy import Policy, PolicyConfig
from robolearn.policies.registry import BACKBONES, FAMILIES
from robolearn.rollout import latency
from robolearn.types import Episode

ROOT = Path(__file__).parents[1]
TINY_BACKBONES = {
    "mlp": MLPConfig(width=16, depth=2),
    "unet": UNetConfig(widths=(8, 16), num_groups=4, time_dim=8),
    "transformer": TransformerConfig(width=16, num_heads=2, encoder_depth=1, decoder_depth=1),
    "lstm": LSTMConfig(width=16),
}
TINY_VISION = VisionConfig(width=8, num_keypoints=3, features=4, shift=2, jitter=0.2)

torch.set_num_threads(1)
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["WANDB_MODE"] = "disabled"
latency.WARM_UP, latency.REPEATS, measuring.LATENCY_REPEATS = 1, 3, 3  # timing plans would be most of an evaluation
os.fsync = lambda descriptor: None  # a test ends processes, not machines, and those lose nothing that was written
hypothesis.settings.register_profile("robolearn", deadline=None)  # a busy machine is no failure
hypothesis.settings.load_profile("robolearn")
gc.set_threshold(
    20_000
)  # thousands of tests and all modules are looked through each time, and next to nothing is freed


def pytest_collection_finish(session):
    """What is there when the first test begins stays to the end, and is not looked through for garbage."""
    gc.freeze()


OPTIONS, make_options = {}, robolearn.commands.train.make_options


def make_options_once(defaults):
    """The flags of train.py, made once for all that ask for the same: they would be half of a tiny training."""
    key = repr((defaults, FAMILIES, BACKBONES))
    if key not in OPTIONS:
        OPTIONS[key] = make_options(defaults)
    return OPTIONS[key]


robolearn.commands.train.make_options = make_options_once


# Drawing the page takes longer than what most tests look at.
write_report = robolearn.evaluation.evaluate.write_report
robolearn.evaluation.evaluate.write_report = lambda path, _: path.touch()


@pytest.fixture
def with_page(monkeypatch):
    """Evaluations draw their page."""
    monkeypatch.setattr("robolearn.evaluation.evaluate.write_report", write_report)


@pytest.fixture
def scores_of_before():
    """What is registered in a test is gone after it."""
    from robolearn.trust.scores.registry import SCORES

    before = dict(SCORES)
    yield
    SCORES.clear()
    SCORES.update(before)


@pytest.fixture(scope="session")
def gl():
    """Skip where no driver renders."""
    # Here, because most tests need no simulator, and MuJoCo cannot even be imported where MUJOCO_GL names what is not.
    from envs import rendering
    from envs.avoid import Avoid

    try:
        rendering.Renderer(Avoid().model, 8, 8).close()
    except RuntimeError as error:
        pytest.skip(f"cannot render here: {error}")


@pytest.fixture
def without_times(monkeypatch):
    """Timing how long a policy plans takes longer than what most tests look at."""
    monkeypatch.setattr("robolearn.rollout.latency.time_calls", lambda call, repeats: {"p50_ms": 1.0, "p99_ms": 1.0})


@pytest.fixture
def tiny_backbones():
    return TINY_BACKBONES


@pytest.fixture
def make_policy():
    """A small policy with random weights, in evaluation mode."""

    def make(
        family,
        backbone="mlp",
        *,
        obs_shapes=None,
        action_dim=2,
        obs_horizon=2,
        action_horizon=4,
        prefix_horizon=0,
        chunk_frame="absolute",
        seed=0,
    ):
        obs_shapes = obs_shapes or {"state": (4,)}
        cfg = PolicyConfig(
            family,
            TINY_BACKBONES[backbone],
            obs_shapes,
            action_dim,
            obs_horizon,
            action_horizon,
            vision=TINY_VISION,
            prefix_horizon=prefix_horizon,
            chunk_frame=chunk_frame,
        )
        torch.manual_seed(seed)
        policy = Policy(cfg, Normalizer({**obs_shapes, "action": (action_dim,)})).eval()
        for parameter in policy.parameters():  # zero-initialized layers would hide mistakes
            parameter.data += 0.1 * torch.randn_like(parameter)
        for value in policy.frame.buffers():  # an un-fitted frame is the identity, which would hide mistakes too
            value.uniform_(0.1, 0.6)
        return policy

    return make


class NetsGiving:
    """Hands out one and the same network, for families whose network is known in closed form."""

    def __init__(self, net):
        self.net = net

    def __call__(self, dim_in, dim_out, num_times):
        return self.net

    def head(self, dim_in, dim_out):
        return self.net


@pytest.fixture
def nets_giving():
    return NetsGiving


@pytest.fixture
def write_demos():
    """Write synthetic demonstrations: a random walk whose action is the next state."""

    def write(path, *, lengths=(20,) * 6, env_id="envs:robolearn/Avoid-v0", env_kwargs=None, seed=0, dims=4):
        rng = np.random.default_rng(seed)
        episodes = []
        for length in lengths:
            state = np.cumsum(0.1 * rng.standard_normal((length + 1, dims)), axis=0).astype(np.float32)
            episodes.append(Episode(obs={"state": state[:-1]}, actions=state[1:, :2]))
        attrs = StoreAttrs(env_id=env_id, control_dt=0.05, obs_keys=("state",), env_kwargs=env_kwargs or {})
        DemoWriter.create(path, attrs=attrs).extend(episodes)
        return path

    return write


@pytest.fixture
def demos(tmp_path, write_demos):
    return write_demos(tmp_path / "demos.zarr")


@pytest.fixture(scope="session")
def train_main():
    """Like python train.py, but what it raises is not turned into a line."""
    return functools.partial(robolearn.commands.train.main, prog="python train.py")


@pytest.fixture(scope="session")
def eval_main():
    """Like python eval.py, but what it raises is not turned into a line."""
    return functools.partial(robolearn.commands.eval.main, prog="python eval.py")


TRAINED_PAIR = []


@pytest.fixture
def trained_pair(tmp_path, tmp_path_factory, demos, train_main, tiny_flags):
    """A hardly trained ensemble of two in Avoid; trained once, a copy for each test."""
    if not TRAINED_PAIR:
        TRAINED_PAIR.append(tmp_path_factory.mktemp("trained") / "run")
        flags = ["--dataset.path", str(demos), "--steps", "2", "--num-members", "2", "--out", str(TRAINED_PAIR[0])]
        # So little training in a frame leaves hardly an episode that succeeds.
        train_main([*tiny_flags, *flags, "--chunk-frame", "absolute"])
    return shutil.copytree(TRAINED_PAIR[0], tmp_path / "run", symlinks=True)


@pytest.fixture
def tiny_flags():
    """Flags of a training run of a second or less."""
    model = ["flow", "mlp", "--backbone.width", "16", "--backbone.depth", "1"]
    horizons = ["--obs-horizon", "1", "--action-horizon", "4", "--exec-horizon", "2"]
    optimizer = [
        "--batch-size",
        "8",
        "--warmup-steps",
        "2",
        "--amp",
        "off",
        "--dataset.validation-fraction",
        "0.2",
    ]
    return [
        *model,
        *horizons,
        *optimizer,
        "--log-every",
        "1",
        "--threads",
        "1",
        "--device",
        "cpu",
        "--no-wandb",
    ]


@pytest.fixture
def read_metrics():
    """Records of a run, without its speed."""

    def read(run):
        records = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        return [{k: v for k, v in record.items() if k != "steps_per_s"} for record in records]

    return read
