"""What can be asked for: the expert's own coverage of every start."""

import dataclasses
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from robolearn import seeds
from robolearn.bench import expert
from robolearn.bench.expert import ask_expert, expert_rounds
from robolearn.bench.gather import gather
from robolearn.bench.rows import TASKS, choose
from robolearn.bench.summary import entropies
from robolearn.bench.unit import Unit
from robolearn.config import write_json
from robolearn.data.attrs import StoreAttrs
from robolearn.data.writer import DemoWriter
from robolearn.rollout.env_config import EnvConfig
from robolearn.types import Episode
from tests.bench.tiny import REGRESSION, TASK, measured, result, write_demos

SIZES = {"num_states": 12, "num_repeats": 6}
INSERT = dataclasses.replace(choose("task", ["insert"], TASKS)[0], **SIZES)


@pytest.fixture
def data(tmp_path):
    """Demonstrations that name the environment; what is in them does not matter."""
    episode = Episode({"state": np.zeros((3, 11), np.float32)}, np.zeros((3, 2), np.float32), {"mode": 0})
    attrs = StoreAttrs(env_id="envs:robolearn/Insert-v0", control_dt=0.05, obs_keys=("state",))
    DemoWriter.create(tmp_path / "insert.zarr", attrs=attrs).extend([episode])
    return tmp_path


@pytest.mark.long
def test_starts_are_those_of_the_policies_and_decisions_are_new(data):
    """A start from which the peg goes straight in has no mode; from another all repetitions search, both ways."""
    ask_expert(INSERT, data, data)
    rounds = expert_rounds(INSERT, data)
    modes = np.array([r["evaluation"]["mode"] for r in rounds])
    assert modes.shape == (expert.ROUNDS, 12, 6)
    assert np.array([r["evaluation"]["success"] for r in rounds]).all()
    searches = (modes >= 0).mean((0, 2))
    assert ((searches < 0.1) | (searches > 0.9)).mean() > 0.5  # mostly the start tells
    assert 0.2 < (searches > 0.9).mean() < 0.9
    # 4 standard errors of 48 equally likely decisions are 0.29
    assert (np.abs((modes == 1).mean((0, 2))[searches > 0.9] - 0.5) < 0.29).all()
    assert 0.2 < entropies(rounds, 2).mean() < 0.8  # where every start offered both ways it were 0.92
    first = expert._episodes(EnvConfig("envs:robolearn/Insert-v0"), seeds.TRIANGLE.start + np.arange(3), 6)
    searching = (np.array([r["mode"] for r in first]) >= 0).mean((0, 2))
    np.testing.assert_allclose(searching > 0.5, searches[:3] > 0.5)


@pytest.mark.parametrize("name", ["Avoid", "AvoidPixels", "Push"])
def test_the_expert_plans_from_the_start_it_is_asked_about(name):
    """Where the obstacles stand is part of a start: planned for another one, its ways lead into them."""
    rounds = expert._episodes(EnvConfig(f"envs:robolearn/{name}-v0"), seeds.TRIANGLE.start + np.arange(3), 2)
    assert np.mean([r["success"] for r in rounds]) > 0.9  # an expert of Push fails now and then
    modes = np.array([r["mode"] for r in rounds]).swapaxes(0, 1).reshape(3, -1)
    assert all(len(set(row)) > 2 for row in modes)


def test_the_expert_is_asked_once(data, monkeypatch):
    few = dataclasses.replace(INSERT, num_states=2, num_repeats=2)
    ask_expert(few, data, data)
    before = (data / "insert" / "expert.json").read_bytes()
    monkeypatch.setattr(expert, "_episodes", None)
    ask_expert(few, data, data)
    ask_expert(few, data / "nowhere", data)
    assert (data / "insert" / "expert.json").read_bytes() == before
    other = dataclasses.replace(few, num_repeats=7)
    assert expert_rounds(other, data) == []
    ask_expert(dataclasses.replace(few, num_repeats=1), data, data)  # needs no coverage


def test_the_expert_is_asked_by_one_of_several_processes(data, tmp_path, monkeypatch):
    asked = []

    def episodes(env, starts, num_repeats):
        asked.append(starts)
        time.sleep(0.2)
        return [{name: [[0] * num_repeats] * len(starts) for name in ("success", "mode")}] * expert.ROUNDS

    monkeypatch.setattr(expert, "_episodes", episodes)
    few = dataclasses.replace(INSERT, num_states=2, num_repeats=2)
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda _: ask_expert(few, data, tmp_path), range(2)))
    assert len(asked) == len(few.parts)
    assert [file.name for file in (tmp_path / "insert").iterdir()] == ["expert.json"]


def test_an_environment_without_an_expert_is_left_alone(tmp_path):
    attrs = StoreAttrs(env_id="envs:robolearn/PushT-v0", control_dt=0.1, obs_keys=("state",))
    episode = Episode({"state": np.zeros((3, 5), np.float32)}, np.zeros((3, 2), np.float32), {})
    DemoWriter.create(tmp_path / "insert.zarr", attrs=attrs).extend([episode])
    ask_expert(INSERT, tmp_path, tmp_path)
    assert expert_rounds(INSERT, tmp_path) == []


def test_coverage_is_in_units_of_what_the_expert_shows(tmp_path):
    """A policy that goes both ways from one of two starts, as the expert does, has all the coverage there is."""
    write_demos(tmp_path)
    ask_expert(TASK, tmp_path, tmp_path)
    rounds = expert_rounds(TASK, tmp_path)
    one_way, both = [0, 0, 0], [0, 1, 0]
    for r in rounds:
        r["evaluation"] = {"success": [[1] * 3] * 2, "mode": [one_way, both]}
        r["selection"] = r["evaluation"]
    write_json(tmp_path / "tiny" / "expert.json", rounds)
    unit = Unit(TASK, REGRESSION, "compute", 0, tmp_path)
    unit.begin()
    unit.write(result({"default": measured(np.ones((2, 3)), np.array([one_way, both]))}))
    numbers = gather([TASK], [REGRESSION], tmp_path)[0].entries[0].best.numbers
    assert numbers.mode_entropy is not None
    assert numbers.mode_entropy.value == numbers.expert_entropy
    (tmp_path / "tiny" / "expert.json").unlink()
    apart = gather([TASK], [REGRESSION], tmp_path)[0].entries[0].best.numbers.expert_entropy
    assert apart is not None
    assert apart > 1.5 * numbers.expert_entropy


def test_both_parts_start_from_their_own_seeds(data, monkeypatch):
    asked = []
    monkeypatch.setattr(expert, "_episodes", lambda env, starts, num_repeats: asked.append(starts.tolist()) or [])
    ask_expert(dataclasses.replace(INSERT, num_states=2), data, data)
    first, other = seeds.TRIANGLE.start, seeds.SELECTION.start
    assert asked == [[first, first + 1], [other, other + 1]]
