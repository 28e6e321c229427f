"""Minari's data sets, of v0.4 and v0.5, as they are found."""

import json

import h5py
import numpy as np
import pytest

from robolearn.data.store import DemoStore
from robolearn.errors import UserError
from robolearn.formats.format import ImportOptions
from robolearn.formats.registry import recognize
from robolearn.formats.transfer import export_demos, import_demos

SPEC = {
    "id": "AdroitHandDoor-v1",
    "entry_point": "gymnasium_robotics.envs.adroit_hand.adroit_door:AdroitHandDoorEnv",
    "kwargs": {"reward_type": "dense", "goal": [1, 2]},
    "additional_wrappers": [{"name": "TimeLimit", "entry_point": "x:y", "kwargs": {}}],
}
FACTS = {
    "dataset_id": "D4RL/door/human-v2",
    "total_episodes": 3,
    "data_format": "hdf5",
    "env_spec": json.dumps(SPEC),
    "author": ["Ada", "Bob"],
    "code_permalink": "https://example.org",
}


def write(folder, facts=FACTS, old=False, numbers=(0, 2, 10), **columns):
    """A data set; columns replace those of each episode."""
    (folder / "data").mkdir(parents=True)
    with h5py.File(folder / "data" / "main_data.hdf5", "w") as file:
        for i in numbers:
            steps, rng = 4 + i, np.random.default_rng(i)
            episode = file.create_group(f"episode_{i}")
            episode.attrs.update({"id": i, "total_steps": steps, "seed": 100 + i})
            default = {
                "observations": rng.normal(size=(steps + 1, 3)),
                "actions": rng.normal(size=(steps, 2)).astype(np.float32),
                "rewards": np.arange(steps, dtype=float),
                "terminations": np.arange(steps) == (steps - 1 if i else -1),
                "truncations": np.zeros(steps, bool),
                "infos/success": np.arange(steps + 1) == steps,
                "infos/qpos": rng.normal(size=(steps + 1, 5)),
            }
            for name, rows in {**default, **columns}.items():
                if rows is not None:
                    episode[name] = rows(steps) if callable(rows) else rows
        if old:
            file.attrs.update({name: value for name, value in facts.items() if isinstance(value, str)})
    if not old:
        (folder / "data" / "metadata.json").write_text(json.dumps(facts))
    return folder


def taken(folder, **options):
    done = import_demos(folder, folder.with_suffix(".zarr"), options=ImportOptions(**options))
    return DemoStore.open(done.path), " | ".join(done.lost)


@pytest.mark.parametrize("old", [False, True])
def test_everything_there_is(tmp_path, old):
    folder = write(tmp_path / "human-v2", old=old)
    store, lost = taken(folder)
    assert recognize(folder / "data") == recognize(folder / "data" / "main_data.hdf5") == "minari"
    assert np.diff(store.episode_ends, prepend=0).tolist() == [4, 6, 14]
    np.testing.assert_array_equal(store.episode(2).obs["state"], np.random.default_rng(10).normal(size=(15, 3))[:-1])
    assert store.episode_attrs["seed"].tolist() == [100, 102, 110]
    assert store.episode_attrs["terminated"].tolist() == [False, True, True]
    assert store.episode_attrs["truncated"].tolist() == [False] * 3
    assert store.episode_attrs["success"].tolist() == [True] * 3
    assert store.attrs.env_id == "gymnasium_robotics:AdroitHandDoor-v1"
    assert store.attrs.env_kwargs == {"reward_type": "dense"}
    assert "D4RL/door/human-v2" in store.attrs.source
    assert store.attrs.expert == ("" if old else "Ada, Bob")
    assert store.attrs.obs_keys == ("state",)
    assert store.shapes["infos.qpos"] == (5,)
    assert store.read("reward").shape == (24, 1)
    for said in ("argument goal is not kept", "wrapper TimeLimit", "the observation after the last action"):
        assert said in lost


def test_nested_spaces(tmp_path):
    columns = {
        "observations": None,
        "observations/achieved_goal": lambda steps: np.full((steps + 1, 3), 1.0),
        "observations/arm/_index_0": lambda steps: np.full((steps + 1, 2), 2.0),
        "observations/arm/_index_1": lambda steps: np.arange(steps + 1),
        "observations/mission": lambda steps: np.array([b"pick it"] * (steps + 1)),
        "actions": None,
        "actions/_index_0": lambda steps: np.full((steps, 2), 0.5, np.float32),
        "actions/_index_1": lambda steps: np.arange(steps),
    }
    store, lost = taken(write(tmp_path / "nested", **columns))
    assert store.attrs.obs_keys == ("achieved_goal", "arm.0", "arm.1")
    assert store.shapes["arm.1"] == (1,)
    assert store.episode(0).actions.tolist() == [[0.5, 0.5, i] for i in range(4)]
    assert "mission is no array of numbers" in lost


def test_a_single_space_of_images(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (15, 40, 40, 3), np.uint8)
    store, _ = taken(write(tmp_path / "images", observations=lambda steps: images[: steps + 1]))
    assert store.attrs.obs_keys == ("image",)
    np.testing.assert_array_equal(store.episode(1).obs["image"], images[:6])


def test_discrete_actions_and_no_facts(tmp_path):
    folder = write(tmp_path / "discrete", facts={}, actions=lambda steps: np.arange(steps))
    (folder / "data" / "metadata.json").unlink()
    store, _ = taken(folder)
    assert store.attrs.env_id is None
    assert store.read("action")[:4].tolist() == [[0], [1], [2], [3]]


@pytest.mark.parametrize("spec", ["{broken", "[]", '{"id": 3}', "null"])
def test_a_spec_that_is_none(tmp_path, spec):
    store, _ = taken(write(tmp_path / "spec", {**FACTS, "env_spec": spec}))
    assert store.attrs.env_id is None


REFUSED = [
    ({"actions": None}, {}, "episode_0 has no actions; there is infos, observations"),
    ({"observations": None}, {}, "episode_0 has no observations"),
    ({"actions": np.zeros((9, 2))}, {}, "state has 5 rows for 9 actions"),
    ({"actions": np.zeros((0, 2))}, {}, "episode_0 has no actions for 5 observations; mend the file, or leave it out"),
    ({"observations": 1.0}, {}, "state has 0 rows for 4 actions"),
    ({"observations": h5py.Empty("f4")}, {}, "state has 0 rows for 4 actions"),
    ({"terminations": np.full(4, np.nan)}, {}, "terminated is nan at step 0"),
    ({"rewards": lambda steps: np.full(steps, np.nan)}, {}, "episode_0: reward is nan at step 0"),
    ({}, {"robolearn": [1]}, "its note of the store that it was made of is damaged"),
    ({}, {"robolearn": {"attrs": {}, "made": [], "renamed": {"state": 3}}}, "its note .* is damaged"),
    ({}, {"robolearn": {"attrs": {"schema_version": 1, "control_dt": -1}, "made": [], "renamed": {}}}, "control_dt"),
]


@pytest.mark.parametrize(("columns", "facts", "said"), REFUSED)
def test_refused_in_one_line(tmp_path, columns, facts, said):
    folder = write(tmp_path / "bad", {**FACTS, **facts}, **columns)
    with pytest.raises(UserError, match=said):
        taken(folder)


def test_what_is_not_there(tmp_path):
    (tmp_path / "arrow" / "data" / "0").mkdir(parents=True)
    (tmp_path / "arrow" / "data" / "0" / "x.arrow").touch()
    with pytest.raises(UserError, match="it is in arrow's format; write it again by minari with data_format='hdf5'"):
        import_demos(tmp_path / "arrow", tmp_path / "x.zarr", "minari")
    with pytest.raises(UserError, match=r"there are no episodes in it"):
        import_demos(write(tmp_path / "none", numbers=()), tmp_path / "x.zarr")
    folder = write(tmp_path / "text")
    (folder / "data" / "metadata.json").write_text("{")
    with pytest.raises(UserError, match=r"metadata\.json"):
        taken(folder)


def test_what_minari_asks_for_is_written(tmp_path, rich_store):
    export_demos(rich_store, tmp_path / "out", "minari")
    facts = json.loads((tmp_path / "out" / "data" / "metadata.json").read_text())
    spec = json.loads(facts["env_spec"])
    assert (spec["id"], spec["kwargs"]["g"]) == ("Pendulum-v1", 9.81)
    assert spec["entry_point"].startswith("gymnasium.")
    assert set(json.loads(facts["observation_space"])["subspaces"]) == {"state", "top"}
    assert facts["jpeg_encoding"] is False
    with h5py.File(tmp_path / "out" / "data" / "main_data.hdf5") as file:
        assert len(file["episode_1/observations/state"]) == len(file["episode_1/actions"]) + 1
        assert file["episode_1/truncations"][-1]
        assert file["episode_1"].attrs["seed"] == 1
