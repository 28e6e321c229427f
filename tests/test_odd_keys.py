"""Keys as people write them, through everything: training, checkpoints, evaluation, an agent, gates, ensembles."""

import dataclasses
from typing import ClassVar

import gymnasium as gym
import numpy as np
import pytest
import torch

import robolearn as rl
from robolearn.evaluation import deploy
from robolearn.policies.ensemble import Ensemble
from robolearn.training.assemble import load_data, open_demos
from robolearn.training.embeddings import embed_demonstrations
from robolearn.training.run import Run

KEYS = ("observation.state", "joint angles", "日本語.état", "training", "class", "keys", "x", "x_centre", "n" * 200)
CAMERA = "observation.images.cam"


class Odd(gym.Env):
    """Walks from a random start, and shows it under every name."""

    observation_space = gym.spaces.Dict(
        {key: gym.spaces.Box(-10, 10, (2,), np.float32) for key in KEYS}
        | {CAMERA: gym.spaces.Box(0, 255, (8, 8, 3), np.uint8)}
    )
    action_space = gym.spaces.Box(-1, 1, (2,), np.float32)
    metadata: ClassVar = {"render_modes": []}

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.at, self.t = self.np_random.uniform(-1, 1, 2).astype(np.float32), 0
        return self.obs(), {}

    def obs(self):
        image = np.full((8, 8, 3), int(100 + 50 * np.clip(self.at[0], -2, 2)), np.uint8)
        return {**{key: self.at + i for i, key in enumerate(KEYS)}, CAMERA: image}

    def step(self, action):
        self.at, self.t = self.at + 0.1 * action, self.t + 1
        return self.obs(), 0.0, self.t == 4, False, {"success": self.t == 4}


gym.register("test/Odd-v0", entry_point=Odd)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    env, episodes = Odd(), []
    for seed in range(6):
        seen, actions = [env.reset(seed=seed)[0]], []
        for _ in range(6):
            actions.append(np.tanh(-seen[-1]["x"] + seed % 2).astype(np.float32))
            seen.append(env.step(actions[-1])[0])
        obs = {key: np.stack([one[key] for one in seen[:-1]]) for key in seen[0]}
        episodes.append(rl.Episode(obs=obs, actions=np.stack(actions)))
    path = tmp_path_factory.mktemp("odd") / "odd.zarr"
    attrs = rl.StoreAttrs(env_id="test/Odd-v0", control_dt=0.1, obs_keys=(*KEYS, CAMERA))
    rl.DemoWriter.create(path, attrs=attrs).extend(episodes)
    return path


def config(store, tiny_backbones, name, out):
    dataset = rl.DatasetConfig(str(store), angles=("日本語.état:1",), validation_fraction=0.2)  # pyright: ignore
    options = {"steps": 2, "batch_size": 8, "obs_horizon": 1, "action_horizon": 4, "exec_horizon": 2, "wandb": False}
    cfg = rl.TrainConfig(
        rl.FAMILIES["flow"](), tiny_backbones[name], dataset=dataset, out=str(out), amp="off", **options
    )
    return dataclasses.replace(cfg, vision=dataclasses.replace(cfg.vision, width=8, features=4), device="cpu")


@pytest.fixture(scope="module")
def runs(store, tmp_path_factory):
    from tests.conftest import TINY_BACKBONES

    folder = tmp_path_factory.mktemp("runs")
    return {name: rl.train(config(store, TINY_BACKBONES, name, folder / name)) for name in TINY_BACKBONES}


@pytest.mark.long
def test_every_backbone_trains_and_goes_on(runs):
    for name, run in runs.items():
        policy = rl.load_policy(str(run.directory))
        assert tuple(policy.cfg.obs_shapes) == (*KEYS, CAMERA), name
    rl.train(dataclasses.replace(runs["lstm"].config(), steps=3), resume=True)
    assert Run.open(str(runs["lstm"].directory)).last_step() == 3


def test_an_evaluation_and_an_agent_give_the_same_actions(runs):
    report = rl.evaluate(str(runs["mlp"].directory), rl.EvalConfig(episodes=4, videos=0, threads=1), trust=True)
    assert not report.summary.num_broken
    agent, env = rl.Agent(str(runs["mlp"].directory)), Odd()
    episode = report.trajectories[0]
    agent.reset(episode.episode)
    obs, _ = env.reset(seed=episode.seed)
    for expected in episode.actions:
        action = agent.act(obs)
        assert np.array_equal(action, expected)
        obs, *_ = env.step(np.clip(action, -1, 1))


@pytest.mark.slow
def test_a_gate_is_calibrated_and_used(runs):
    cfg = rl.CalibrateConfig(score="neighbour", alpha=0.5, episodes=8, threads=1)
    assert rl.calibrate(str(runs["mlp"].directory), cfg, trust=True).num_calibration == 8
    cfg = rl.EvalConfig(episodes=2, videos=0, gate=True, threads=1)
    assert rl.evaluate(str(runs["mlp"].directory), cfg, trust=True).gate is not None


def test_an_ensemble_embeds_what_it_was_trained_on(runs):
    run = runs["unet"]
    ensemble = Ensemble.load([str(run.checkpoint()), str(run.checkpoint())])
    embedded, _ = embed_demonstrations(run.config(), run.data(), ensemble, 5)
    assert embedded.isfinite().all(1).sum() == 5


def test_without_demonstrations_random_observations_are_deployed(runs, monkeypatch):
    """Within what the normalizer knows of each key, whatever it is called."""

    def gone(*_):
        raise rl.UserError("gone")

    run, policy = runs["mlp"], rl.load_policy(str(runs["mlp"].directory))
    monkeypatch.setattr(deploy.Demos, "open", gone)
    (observed,), attrs = deploy._observations(run, policy)
    assert attrs is None
    assert {key: rows.shape[1:] for key, rows in observed.items()} == policy.cfg.obs_shapes
    for key in KEYS:
        normalized = policy.normalizer.normalize(key, torch.from_numpy(observed[key]))
        assert 0.5 < normalized.abs().max() < 1 + 1e-5


def test_the_action_is_not_observed(store, tiny_backbones, tmp_path):
    cfg = config(store, tiny_backbones, "mlp", tmp_path / "run")
    cfg = dataclasses.replace(cfg, dataset=dataclasses.replace(cfg.dataset, obs_keys=("x", "action")))
    with pytest.raises(rl.UserError, match=r"`dataset.obs_keys`: action is what a policy gives"):
        load_data(cfg, open_demos(cfg), "cpu")
