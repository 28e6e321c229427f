"""A policy behind a translator: in an evaluation, and in a robot's own loop."""

import dataclasses

import numpy as np
import pytest
import torch

from robolearn import train
from robolearn.data.collect import collect
from robolearn.evaluation.agent import Agent
from robolearn.evaluation.config import ActConfig, DeployConfig, EvalConfig
from robolearn.evaluation.evaluate import evaluate
from robolearn.nets.encoder import ObsEncoder
from robolearn.nets.mlp import MLPConfig
from robolearn.policies.policy import Policy
from robolearn.policies.regression import RegressionConfig
from robolearn.rollout.env_config import EnvConfig
from robolearn.training.config import DatasetConfig, TrainConfig
from robolearn.translation.config import TranslatorConfig
from robolearn.translation.cut import CutConfig
from robolearn.translation.train import train_translator
from robolearn.translation.translator import Translator
from tests.conftest import TINY_VISION
from tests.translation.conftest import SMALL, TINY, write_look

CPU = {"device": "cpu", "threads": 1}
SHORT = EnvConfig(max_episode_steps=4)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A policy on AvoidPixels, and a translator between its images and themselves, both as good as untrained."""
    folder = tmp_path_factory.mktemp("acting")
    collect("envs:robolearn/AvoidPixels-v0", 2, store := folder / "pixels.zarr")
    cfg = TrainConfig(
        RegressionConfig(),
        MLPConfig(width=16),
        dataset=DatasetConfig(store, obs_keys=("image", "state"), validation_fraction=0.0),
        obs_horizon=1,
        exec_horizon=2,
        steps=1,
        batch_size=4,
        vision=TINY_VISION,
        out=folder / "policy",
        wandb=False,
        **CPU,
    )
    few = TINY | {"steps": 1, "validation_fraction": 0.5}
    translator = train_translator(TranslatorConfig(store, store, folder / "translator", SMALL, **few))
    return train(cfg), translator


def seen(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    image = torch.randint(0, 256, (count, 96, 96, 3), dtype=torch.uint8, generator=generator)
    return {"image": image, "state": torch.rand(count, 4, generator=generator) - 0.5}


@pytest.mark.parametrize("to", ["source", "target"])
def test_a_policy_sees_translations(runs, to):
    run, path = runs
    plain, policy, translator = Policy.load(run.checkpoint()), Policy.load(run.checkpoint()), Translator.load(path)
    translator.put_before(policy.encoder, to)
    obs = {key: value[:, None] for key, value in seen(3).items()}
    noise = policy.family.noise(3, generator=torch.Generator().manual_seed(0))
    translated = {**obs, "image": translator.translate({"image": obs["image"][:, 0]}, to)["image"][:, None]}
    with torch.no_grad():
        assert torch.equal(policy.act(obs, noise), plain.act(translated, noise))
        assert not torch.equal(policy.act(obs, noise), plain.act(obs, noise))


def test_an_evaluation_looks_through_it(runs, tmp_path, without_times):
    """The translator acts, the report says so, and episodes do not depend on how many run beside one another."""
    run, path = runs
    cfg = EvalConfig(episodes=3, env=SHORT, videos=0, out=tmp_path / "eval", **CPU)
    behind = dataclasses.replace(cfg, translator=path)
    plain, one, three = (
        evaluate(run, one)
        for one in (cfg, dataclasses.replace(behind, num_envs=1), dataclasses.replace(behind, num_envs=3))
    )
    for mine, theirs, other in zip(one.trajectories, three.trajectories, plain.trajectories, strict=True):
        np.testing.assert_array_equal(mine.actions, theirs.actions)
        assert not np.array_equal(mine.actions, other.actions)
    assert one.facts["translator"] == f"{path}, to its source"
    assert "translator" not in plain.facts


def test_an_agent_looks_through_it(runs):
    run, path = runs
    obs = {key: value[0].numpy() for key, value in seen(1).items()}
    group = torch.from_numpy(obs["image"]).expand(32, 96, 96, 3)  # a controller asks in groups, which round alike
    made = Translator.load(path).translate({"image": group}, "target")["image"][0].numpy()
    behind = Agent(run, ActConfig(translator=path, translate_to="target", **CPU))
    np.testing.assert_array_equal(behind.act(obs), Agent(run, ActConfig(**CPU)).act({**obs, "image": made}))


def test_a_camera_that_was_not_learned_is_refused(runs, looks, tmp_path):
    run, _ = runs
    other = train_translator(TranslatorConfig(*looks, tmp_path / "other", SMALL, **TINY))
    with pytest.raises(ValueError, match=r"other: no camera 'image'; it has camera"):
        Agent(run, ActConfig(translator=other, **CPU))


def test_images_of_another_size_are_refused(runs, tmp_path):
    """And so is a policy that sees none."""
    run, _ = runs
    small = write_look(tmp_path / "small.zarr", cameras=("image",), channels=3)
    other = train_translator(TranslatorConfig(small, small, tmp_path / "other", SMALL, **TINY))
    with pytest.raises(ValueError, match=r"trained on images of 'image' of 32x32x3, the policy sees 96x96x3"):
        Agent(run, ActConfig(translator=other, **CPU))
    with pytest.raises(ValueError, match=r"other translates images \(image\), and the policy sees none"):
        Translator.load(other).put_before(ObsEncoder({"state": (4,)}, {}, TINY_VISION), "source")


def test_one_way_is_no_way_back(runs, looks, tmp_path):
    run, _ = runs
    cut = train_translator(TranslatorConfig(*looks, tmp_path / "cut", CutConfig("dcgan", 8), **TINY))
    with pytest.raises(ValueError, match=r"cut translates to target alone; train one whose target is this one's sourc"):
        Translator.load(cut).generator("camera", "source")
    with pytest.raises(ValueError, match=r"no translator"):
        Agent(run, ActConfig(translator=run.directory, **CPU))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ActConfig(translate_to="target"), "`translate_to` is for a `translator`"),
        (lambda: ActConfig(translator="run", gate=True), "`translator`: gates and safety sets are calibrated without"),
        (lambda: EvalConfig(translator="run", safety_set=True), "`translator`: gates and safety sets are calibrated"),
        (lambda: DeployConfig(translator="run"), "`translator` is not deployed, as it needs torch"),
    ],
)
def test_what_does_not_go_together_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
