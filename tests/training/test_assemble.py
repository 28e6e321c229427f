"""Which episodes are trained on, and which are held out."""

import dataclasses
import shutil

import numpy as np
import pytest
import torch

from robolearn.data.attrs import StoreAttrs
from robolearn.data.chunks import ChunkReader
from robolearn.data.demos import Demos
from robolearn.data.writer import DemoWriter
from robolearn.errors import UserError
from robolearn.training.assemble import assemble, load_data, make_policy_config, open_demos, parse_dims
from robolearn.training.config import DatasetConfig, TrainConfig
from robolearn.training.episodes import Kept, choose_episodes
from robolearn.training.train import train
from robolearn.types import Episode


@pytest.fixture
def config(tmp_path, write_demos):
    """Options for ten episodes of 20 to 29 steps, with these of the data set."""
    path = write_demos(tmp_path / "ten.zarr", lengths=tuple(range(20, 30)))

    def make(seed=0, **dataset):
        return TrainConfig(dataset=DatasetConfig((path,), **dataset), seed=seed)

    return make


def chosen(cfg):
    return {name: part.tolist() for name, part in choose_episodes(Demos.open(cfg.dataset.path), cfg).items()}


def test_validation_windows_are_of_the_episodes_held_out(config):
    cfg = config(validation_fraction=0.3)
    _, train, validation, facts = load_data(cfg, open_demos(cfg), torch.device("cpu"))
    assert validation is not None
    assert tuple(validation.episodes) == facts.validation_episodes
    assert set(validation.episodes).isdisjoint(train.episodes)
    assert sorted([*validation.episodes, *train.episodes]) == list(range(10))
    shown = validation.batch(torch.arange(len(validation))).obs["state"][:, -1].numpy()
    stored = Demos.open(config().dataset.path).stores[0]
    np.testing.assert_array_equal(
        shown, np.concatenate([stored.episode(int(i)).obs["state"] for i in validation.episodes])
    )


def test_a_policy_is_built_as_the_options_say(config):
    cfg = dataclasses.replace(config(), obs_noise=0.1, prefix_horizon=3, obs_horizon=4, chunk_frame="relative")
    made = make_policy_config(cfg, {"state": (3,)}, 2, {})
    assert (made.obs_noise, made.prefix_horizon, made.obs_horizon, made.chunk_frame) == (0.1, 3, 4, "relative")


def test_a_frame_is_found_before_training(config):
    """Of windows of the training's episodes, the same ones for the same seed."""
    cfg = dataclasses.replace(config(), chunk_frame="relative")
    first, again = (assemble(cfg, open_demos(cfg), torch.device("cpu"))[1].policy.frame for _ in range(2))
    assert first is not None
    assert again is not None
    assert torch.equal(first.reach, again.reach)
    assert not torch.equal(first.reach, torch.ones_like(first.reach))
    plain = dataclasses.replace(cfg, chunk_frame="absolute")
    assert assemble(plain, open_demos(cfg), torch.device("cpu"))[1].policy.frame.start_dim == 0


@pytest.mark.parametrize(
    ("fraction", "wanted", "sizes"), [(0.1, None, (9, 1)), (0.08, None, (10, 0)), (0.25, 8, (6, 2)), (0.0, 4, (4, 0))]
)
def test_the_shares_are_of_the_episodes_that_are_used(config, fraction, wanted, sizes):
    """A share too small for one episode holds none out, and costs no training episode either."""
    parts = chosen(config(validation_fraction=fraction, num_episodes=wanted))
    assert (len(parts["train"]), len(parts.get("validation", []))) == sizes


def test_a_split_seed_holds_the_same_episodes_out_whatever_the_seed(config):
    apart = [chosen(config(seed=s, validation_fraction=0.3)) for s in (0, 1)]
    together = [chosen(config(seed=s, validation_fraction=0.3, split_seed=0)) for s in (0, 1)]
    assert apart[0] != apart[1]
    assert together[0] == together[1] == apart[0]
    drawn = chosen(dataclasses.replace(config(seed=1, validation_fraction=0.3, split_seed=0, bootstrap=True)))
    assert drawn["validation"] == together[0]["validation"]
    assert set(drawn["train"]) < set(together[0]["train"])


def test_what_is_given_twice_is_refused():
    """The network would see an angle twice, and the hash of the data would be another."""
    assert parse_dims("angles", ("state:4", "pose:4", "state:2")) == {"state": (4, 2), "pose": (4,)}
    with pytest.raises(ValueError, match=r"`dataset\.angles` state:4: given twice"):
        parse_dims("angles", ("state:4", "state:4"))
    with pytest.raises(ValueError, match=r"`dataset\.obs_keys` state image state: a key is given twice"):
        DatasetConfig(obs_keys=("state", "image", "state"))


def test_only_the_episodes_that_are_asked_for_are_read(tmp_path, monkeypatch):
    """Neither for the windows, nor for the hash or the range of images; and the hash is that of those alone."""
    path, alone = tmp_path / "all.zarr", tmp_path / "alone.zarr"
    rng, episodes = np.random.default_rng(0), []
    for i in range(8):
        depth = rng.uniform(1 + i, 2 + i, (20, 8, 8, 1)).astype(np.float32)
        episodes.append(Episode({"state": rng.normal(size=(20, 2)), "depth": depth}, rng.normal(size=(20, 2))))
    attrs = StoreAttrs(obs_keys=("state", "depth"))
    monkeypatch.setattr("robolearn.data.writer.LOW_DIM_CHUNK", 20)
    monkeypatch.setattr("robolearn.data.writer.IMAGE_CHUNK", 20)
    DemoWriter.create(path, attrs=attrs).extend(episodes)
    decoded, real = set(), ChunkReader.rows

    def rows(self, name, array, start, stop):
        if name.startswith("data/"):
            decoded.update(range(start // 20, -(-stop // 20)))
        return real(self, name, array, start, stop)

    monkeypatch.setattr(ChunkReader, "rows", rows)
    for obs in ((), ("state=state[0]", "depth=depth", "action=action+state[1]")):
        cfg = TrainConfig(dataset=DatasetConfig((path,), num_episodes=3, validation_fraction=0.4, obs=obs))
        decoded.clear()
        _, windows, validation, facts = load_data(cfg, open_demos(cfg), "cpu")
        chosen = sorted((*facts.training_episodes, *facts.validation_episodes))
        assert validation is not None
        assert (len(chosen), decoded) == (3, set(chosen))
        shutil.rmtree(alone, ignore_errors=True)
        DemoWriter.create(alone, attrs=attrs).extend([episodes[i] for i in chosen])
        hashed = Demos.open(alone, cfg.dataset.keymap).content_hash(["state", "depth", "action"])
        assert facts.content_hash == hashed
        assert windows.cameras["depth"].low == pytest.approx(
            min(episodes[i].obs["depth"].min() for i in chosen), abs=0.1
        )
        again = load_data(cfg, open_demos(cfg), "cpu", Kept(facts, 1))
        assert (again[3].content_hash, again[3].earlier) == (hashed, ())
        earlier = dataclasses.replace(facts, content_hash=open_demos(cfg).content_hash(["state", "depth", "action"]))
        assert load_data(cfg, open_demos(cfg), "cpu", Kept(earlier, 1))[3].content_hash == earlier.content_hash
        with pytest.raises(UserError, match=r"not the demonstrations that the run was trained on \(sha256"):
            load_data(cfg, open_demos(cfg), "cpu", Kept(dataclasses.replace(facts, content_hash="0" * 64), 1))


def test_a_training_opens_its_stores_once(config, monkeypatch, tmp_path):
    opened, real = [], Demos.open.__func__
    monkeypatch.setattr(Demos, "open", classmethod(lambda cls, *args: opened.append(args) or real(cls, *args)))
    cfg = dataclasses.replace(
        config(), steps=1, batch_size=4, wandb=False, device="cpu", threads=1, out=tmp_path / "run"
    )
    train(cfg)
    assert len(opened) == 1
