"""robomimic's files as they are found: what is missing, out of order or damaged."""

import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

from robolearn.data.store import DemoStore
from robolearn.errors import UserError
from robolearn.formats.format import ImportOptions
from robolearn.formats.registry import recognize
from robolearn.formats.transfer import import_demos

LIFT = {
    "env_name": "Lift",
    "type": 1,
    "env_version": "1.4.1",
    "env_kwargs": {"robots": ["Panda"], "control_freq": 20, "controller_configs": {"type": "OSC_POSE"}},
}


def demo(group, i, steps=6, extra=0):
    rng = np.random.default_rng(i)
    made = group.create_group(f"demo_{i}")
    made.attrs["num_samples"] = steps
    made.attrs["model_file"] = "<mujoco/>"
    made["actions"] = rng.normal(size=(steps, 7))
    made["states"] = rng.normal(size=(steps, 32))
    made["rewards"] = np.arange(steps) / 10
    made["dones"] = np.arange(steps) == steps - 1
    for folder in ("obs", "next_obs"):
        made[f"{folder}/robot0_eef_pos"] = rng.normal(size=(steps + extra, 3))
        made[f"{folder}/agentview_image"] = rng.integers(0, 256, (steps + extra, 12, 12, 3), np.uint8)
    return made


@pytest.fixture
def file(tmp_path):
    """Three demonstrations as robomimic has them, numbered 0, 2 and 10, and masks of them."""
    with h5py.File(tmp_path / "low_dim.hdf5", "w") as opened:
        data = opened.create_group("data")
        data.attrs["env_args"] = json.dumps(LIFT)
        for i in (10, 0, 2):
            demo(data, i, steps=5 + i)
        opened["mask/train"] = np.array([b"demo_0", b"demo_10"])
        opened["mask/valid"] = np.array([b"demo_2"])
        yield opened


def taken(file, **options):
    """Import what a file has become."""
    file.flush()
    copy, out = Path(file.filename).with_name("copy.hdf5"), f"{file.filename}{len(options)}.zarr"
    shutil.copy(file.filename, copy)  # HDF5 does not open what is open for writing
    done = import_demos(copy, out, "robomimic", ImportOptions(**options))
    return DemoStore.open(out), " | ".join(done.lost)


def test_everything_there_is(file):
    store, lost = taken(file)
    assert recognize(Path(file.filename).with_name("copy.hdf5")) == "robomimic"
    assert np.diff(store.episode_ends, prepend=0).tolist() == [5, 7, 15]  # demo_0, demo_2, demo_10
    np.testing.assert_array_equal(store.episode(1).actions, file["data/demo_2/actions"])
    np.testing.assert_array_equal(store.episode(2).obs["agentview_image"], file["data/demo_10/obs/agentview_image"])
    np.testing.assert_array_equal(store.episode(0).obs["reward"][:, 0], file["data/demo_0/rewards"])
    assert store.attrs.obs_keys == ("agentview_image", "robot0_eef_pos")
    assert store.attrs.splits == {"train": (0, 2), "valid": (1,)}
    assert store.attrs.control_dt == 0.05
    assert store.attrs.robot == "Panda"
    assert store.attrs.env_id is None
    assert "OSC_POSE" in store.attrs.source
    assert store.dtypes["action"] == np.float64
    assert store.episode_attrs["done"].tolist() == [True, True, True]
    assert "states" in store.keys
    assert "next_obs is not kept" in lost
    assert "model_file" in lost


def test_a_gym_environment_is_named(file):
    env = {"env_name": "Pendulum-v1", "type": 2, "env_kwargs": {"g": 9.5, "config": {"a": 1}}}
    file["data"].attrs["env_args"] = json.dumps(env)
    store, _ = taken(file)
    assert store.attrs.env_id == "gymnasium:Pendulum-v1"
    assert store.attrs.env_kwargs == {"g": 9.5}


@pytest.mark.parametrize("text", ["{broken", "[1, 2]", "[" * 100_000])
def test_env_args_that_are_none(file, text):
    file.create_dataset("data/x", data=0)
    del file["data/x"]
    del file["data"].attrs["env_args"]
    if len(text) < 60_000:
        file["data"].attrs["env_args"] = text
        assert "env_args" in taken(file)[1]
    else:
        assert "env_args" not in taken(file)[1]


def test_tasks_of_libero_and_robocasa(file):
    file["data"].attrs["problem_info"] = json.dumps({"language_instruction": ["open the drawer"]})
    file["data/demo_2"].attrs["ep_meta"] = json.dumps({"lang": "close it"})
    store, _ = taken(file)
    assert store.attrs.tasks == ("open the drawer", "close it")
    assert store.episode_attrs["task"].tolist() == [0, 1, 0]


def test_attributes_of_one_type(file):
    for i, value in ((0, 1), (2, 2.5), (10, True)):
        file[f"data/demo_{i}"].attrs["mass"] = value
        file[f"data/demo_{i}"].attrs["seed"] = i
    file["data/demo_2"].attrs["only"] = 1
    store, lost = taken(file)
    assert store.episode_attrs["mass"].tolist() == [1.0, 2.5, 1.0]
    assert store.episode_attrs["seed"].dtype == np.int64
    assert "attributes that not all episodes have are not kept: only" in lost


def put(name, rows):
    def change(file):
        path = f"data/demo_2/{name}"
        if path in file:
            del file[path]
        if rows is not None:
            file[path] = rows

    return change


STRANGE = [  # what becomes of demo_2, of 7 steps; the key that is gone; what is said
    (put("obs/extra", np.zeros((7, 2))), "extra", "extra is not in all episodes, for one not in demo_0"),
    (
        put("obs/agentview_image", None),
        "agentview_image",
        "agentview_image is not in all episodes, for one not in demo_2",
    ),
    (put("obs/robot0_eef_pos", np.zeros((7, 4))), "robot0_eef_pos", "has rows (4,) of float64 in demo_2, (3,) before"),
    (put("states", np.zeros((9, 32))), "states", "states has 9 rows for 7 actions in demo_2"),
    (put("states", None), "states", "states is not in all episodes"),
    (put("obs/robot0_eef_pos", np.array([b"x"] * 7)), "robot0_eef_pos", "robot0_eef_pos has rows () of |S1"),
    (put("rewards", None), "reward", "reward is not in all episodes"),
]


@pytest.mark.parametrize(("change", "gone", "said"), STRANGE)
def test_what_does_not_fit_is_left_out_and_named(file, change, gone, said):
    change(file)
    store, lost = taken(file)
    assert store.num_episodes == 3
    assert gone not in store.keys
    assert said in lost


def test_a_demonstration_that_is_no_group_is_named(file):
    file["data/demo_3"] = np.zeros((4, 2))
    store, lost = taken(file)
    assert store.num_episodes == 3
    assert "data/demo_3 is no group, as a demonstration is" in lost


def test_an_observation_more_than_actions(file, tmp_path):
    with h5py.File(tmp_path / "longer.hdf5", "w") as longer:
        made = demo(longer.create_group("data"), 0, extra=1)
        store, lost = taken(longer)
        np.testing.assert_array_equal(store.read("robot0_eef_pos"), made["obs/robot0_eef_pos"][:-1])
        assert "the observation after the last action is not kept" in lost


def test_types_that_differ_between_episodes(file):
    put("obs/robot0_eef_pos", np.zeros((7, 3), np.float32))(file)
    put("actions", np.zeros((7, 7), np.float32))(file)
    del file["data/demo_0/obs/robot0_eef_pos"]
    file["data/demo_0/obs/robot0_eef_pos"] = np.ones((5, 3), np.int32)
    store, _ = taken(file)
    assert store.dtypes["robot0_eef_pos"] == np.float64
    np.testing.assert_array_equal(store.episode(2).actions, file["data/demo_10/actions"])


def test_nested_and_scalar_observations(file):
    for i in (0, 2, 10):
        steps = len(file[f"data/demo_{i}/actions"])
        file[f"data/demo_{i}/obs/policy/joint"] = np.full((steps, 2), i)
        file[f"data/demo_{i}/obs/gripper"] = np.full(steps, bool(i))
        file[f"data/demo_{i}/obs/action"] = np.full((steps, 1), i)
        file[f"data/demo_{i}/action_dict/rel"] = np.full((steps, 1), i)
    store, _ = taken(file)
    assert store.shapes["policy.joint"] == (2,)
    assert store.shapes["gripper"] == (1,)
    assert store.dtypes["gripper"] == np.bool_
    assert store.episode(1).obs["obs.action"].tolist() == [[2]] * 7
    assert "obs.action" in (store.attrs.obs_keys or ())
    assert "action_dict.rel" not in (store.attrs.obs_keys or ())
    assert store.shapes["action_dict.rel"] == (1,)


@pytest.mark.parametrize(
    "make",
    [
        lambda image: np.moveaxis(image, -1, 1),
        lambda image: image / np.float32(255),
        lambda image: np.moveaxis(image, -1, 1).astype(np.float64) / 255,
        lambda image: image.astype(np.int64),
    ],
)
def test_images_channels_first_or_as_floats_are_kept_so(file, make):
    for i in (0, 2, 10):
        path = f"data/demo_{i}/obs/agentview_image"
        images = make(file[path][()])
        del file[path]
        file[path] = images
    store, _ = taken(file)
    read = store.episode(2).obs["agentview_image"]
    assert read.dtype == images.dtype
    np.testing.assert_array_equal(read, file["data/demo_10/obs/agentview_image"])
    small, _ = taken(file, image_size=(9, 10), cameras=("agentview",))
    assert sorted(small.shapes["agentview_image"]) == [3, 9, 10]
    assert small.dtypes["agentview_image"] == images.dtype
    assert abs(small.read("agentview_image").mean() / store.read("agentview_image").mean() - 1) < 0.05


def test_depth_and_matrices_stay_numbers(file):
    for i in (0, 2, 10):
        steps = len(file[f"data/demo_{i}/actions"])
        file[f"data/demo_{i}/obs/front_depth"] = np.full((steps, 9, 9), 0.5 + i, np.float32)
        file[f"data/demo_{i}/obs/wrist_depth"] = np.full((steps, 9, 9, 1), 300 + i, np.uint16)
        file[f"data/demo_{i}/obs/rotations"] = np.full((steps, 2, 3, 3), -1.0)
    store, _ = taken(file)
    assert (store.shapes["front_depth"], store.dtypes["front_depth"]) == ((9, 9, 1), np.float32)
    assert (store.shapes["wrist_depth"], store.dtypes["wrist_depth"]) == ((9, 9, 1), np.uint16)
    assert store.shapes["rotations"] == (18,)
    assert store.episode(1).obs["front_depth"].max() == 2.5


def test_names_with_other_digits_and_types_with_names(file):
    """Powers are digits to Python and no numbers; a type may lie wherever an array may."""
    for i in (0, 2, 10):
        file[f"data/demo_{i}/obs/area_10²"] = np.zeros((5 + i, 1))
        file[f"data/demo_{i}/kind"] = np.dtype("f4")
        file[f"data/demo_{i}"].attrs["hash"] = np.uint64(2**64 - 1 - i)
    store, _ = taken(file)
    assert "area_10²" in (store.attrs.obs_keys or ())
    assert store.episode_attrs["hash"].tolist() == [2**64 - 1 - i for i in (0, 2, 10)]


def test_empty_episodes_are_left_out(file):
    demo(file["data"], 1, steps=0)
    store, lost = taken(file)
    assert store.num_episodes == 3
    assert "1 episodes without steps are left out: demo_1" in lost
    assert store.attrs.splits == {"train": (0, 2), "valid": (1,)}


def nan(file):
    file["data/demo_2/obs/robot0_eef_pos"][3, 1] = np.nan


def no_obs(file):
    for i in (0, 2, 10):
        del file[f"data/demo_{i}/obs"]


def no_numbers(file):
    for i in (0, 2, 10):
        del file[f"data/demo_{i}/obs"]
        file[f"data/demo_{i}/obs/text"] = np.array([b"x"] * (5 + i))


def external(file):
    with h5py.File(f"{file.filename}.other.h5", "w") as other:
        other["secret"] = np.zeros((7, 3))
    del file["data/demo_2/obs/robot0_eef_pos"]
    file["data/demo_2/obs/robot0_eef_pos"] = h5py.ExternalLink(f"{file.filename}.other.h5", "secret")


def virtual(file):
    layout = h5py.VirtualLayout((7, 3), float)
    layout[:] = h5py.VirtualSource("/etc/other.h5", "x", (7, 3))
    del file["data/demo_2/obs/robot0_eef_pos"]
    file.create_virtual_dataset("data/demo_2/obs/robot0_eef_pos", layout)


def raw_elsewhere(file):
    del file["data/demo_2/obs/robot0_eef_pos"]
    segments = [(b"/etc/passwd", 0, 7 * 3 * 8)]
    file["data/demo_2/obs"].create_dataset("robot0_eef_pos", (7, 3), float, external=segments)


def plugged(file):
    del file["data/demo_2/obs/robot0_eef_pos"]
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_chunk((7, 3))
    properties.set_filter(32001, h5py.h5z.FLAG_OPTIONAL, (0,) * 7)
    space = h5py.h5s.create_simple((7, 3))
    h5py.h5d.create(file["data/demo_2/obs"].id, b"robot0_eef_pos", h5py.h5t.IEEE_F64LE, space, properties)


def vast(file):
    del file["data/demo_2/states"]
    file["data/demo_2"].create_dataset("states", (7, 1 << 40), "u1", chunks=(1, 1 << 20))


def looped(file):
    file["data/demo_2/obs/loop"] = file["data/demo_2/obs"]


REFUSED = [
    (nan, "demo_2: robot0_eef_pos is nan at step 3, dimension 1; mend the file"),
    (no_obs, "data/demo_0 has no observations; make them .* dataset_states_to_obs.py"),
    (no_numbers, "there are no observations to train on: text is no array of numbers"),
    (put("actions", None), "data/demo_2 has no actions; remove it"),
    (put("actions", np.zeros((7, 3))), r"action.* has rows \(3,\) of float64 in demo_2, \(7,\) before"),
    (put("actions", np.zeros((0, 7))), "demo_2 has no actions for 7 observations; mend the file"),
    (lambda file: file.create_dataset("robolearn", data=3.0), "its note of the store that it was made of is damaged"),
    (put("obs/robot0_eef_pos", np.zeros((4, 3))), "demo_2: robot0_eef_pos has 4 rows for 7 actions; mend"),
    (external, "robot0_eef_pos is a link, perhaps to another file, which is not followed"),
    (virtual, "robot0_eef_pos lies in another file, which is not read"),
    (raw_elsewhere, "robot0_eef_pos lies in another file, which is not read"),
    (plugged, "is compressed by the plug-in 32001, which is not loaded .*h5repack"),
    (vast, "states claims to be .* bytes, its file has"),
    (looped, "lies in more than 8 groups"),
]


@pytest.mark.parametrize(("change", "said"), REFUSED)
def test_refused_in_one_line(file, tmp_path, change, said):
    change(file)
    with pytest.raises(UserError, match=said) as caught:
        taken(file)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "low_dim.hdf50.zarr").exists()


def test_cut_off_or_a_pointer(file, tmp_path):
    file.close()
    whole = (tmp_path / "low_dim.hdf5").read_bytes()
    for name, content, said in (
        ("cut", whole[: len(whole) // 2], "is no HDF5 file or a damaged one; copy it again"),
        ("text", b"hello", "is no HDF5 file or a damaged one"),
        ("lfs", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
    ):
        path = tmp_path / f"{name}.hdf5"
        path.write_bytes(content)
        with pytest.raises(UserError, match=said):
            import_demos(path, tmp_path / "x.zarr", "robomimic")
    with pytest.raises(UserError, match="git lfs pull"):
        import_demos(tmp_path / "lfs.hdf5", tmp_path / "x.zarr")
    with pytest.raises(UserError, match="is a folder, expected one HDF5 file"):
        import_demos(tmp_path, tmp_path / "x.zarr", "robomimic")


def test_a_bomb_is_weighed_before_it_is_unpacked(file, monkeypatch):
    import zlib

    from robolearn.formats import hdf5_array

    monkeypatch.setattr(hdf5_array, "UNWEIGHED", 1000)
    monkeypatch.setattr("robolearn.data.codecs.UNCOUNTED", 1000)
    del file["data/demo_2/states"]
    states = file["data/demo_2"].create_dataset("states", (7, 32), float, chunks=(7, 32), compression="gzip")
    states.id.write_direct_chunk((0, 0), zlib.compress(np.random.default_rng(0).bytes(5000) + bytes(1 << 22)))
    with pytest.raises(UserError, match=r"states: the chunk at .* would become"):
        taken(file)
