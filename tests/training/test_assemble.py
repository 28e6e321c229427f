"""Which episodes are trained on, and which are held out."""

import dataclasses

import numpy as np
import pytest
import torch

from robolearn.data.demos import Demos
from robolearn.training.assemble import load_data, parse_dims
from robolearn.training.config import DatasetConfig, TrainConfig
from robolearn.training.episodes import choose_episodes


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
    _, train, validation, facts = load_data(config(validation_fraction=0.3), torch.device("cpu"))
    assert validation is not None
    assert tuple(validation.episodes) == facts.validation_episodes
    assert set(validation.episodes).isdisjoint(train.episodes)
    assert sorted([*validation.episodes, *train.episodes]) == list(range(10))
    shown = validation.batch(torch.arange(len(validation))).obs["state"][:, -1].numpy()
    stored = Demos.open(config().dataset.path).stores[0]
    np.testing.assert_array_equal(
        shown, np.concatenate([stored.episode(int(i)).obs["state"] for i in validation.episodes])
    )


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
