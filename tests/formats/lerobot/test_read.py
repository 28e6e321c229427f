"""LeRobot data sets become stores with the same numbers, whatever the version and however the columns are nested."""

import os
from pathlib import Path

import numpy as np
import pytest

from robolearn.data.store import DemoStore
from robolearn.errors import UserError
from robolearn.formats.format import ImportOptions
from robolearn.formats.registry import recognize
from robolearn.formats.transfer import import_demos

SHARED = Path(os.environ.get("ROBOLEARN_SHARED", Path(__file__).parents[4] / "shared"))
G1 = SHARED / "data" / "lerobot" / "v21_g1"
VERSIONS = pytest.mark.parametrize("version", ["v2.1", "v3.0"])


def read(root, **options):
    out = root.parent / "out.zarr"
    done = import_demos(root, out, options=ImportOptions(**options))
    return DemoStore.open(out), done


def same(store, key, rows):
    assert store.num_episodes == len(rows)
    for i, expected in enumerate(rows):
        episode = store.episode(i)
        episode_rows = episode.actions if key == "action" else episode.obs[key]
        assert episode_rows.dtype == expected.dtype
        np.testing.assert_array_equal(episode_rows, expected)


@VERSIONS
def test_numbers_texts_and_facts(make_set, version):
    made = make_set(version)
    made.tasks = ["lift", "push", "lift"]
    made.extra = {"operator": [3, 1, 2], "quality": [0.5, 1, 2], "good": [True, False, True]}
    made.rows["next.reward"] = [np.arange(n, dtype=np.float32) for n in made.lengths]
    made.rows["next.success"] = [(np.arange(n) == 2) & (i != 1) for i, n in enumerate(made.lengths)]
    made.rows["next.done"] = [np.arange(n) == n - 1 for n in made.lengths]
    made.features["observation.state"] = {"dtype": "float32", "shape": [3], "names": {"motors": ["x", "y", "z"]}}
    made.info["splits"] = {"train": "0:2", "test": "2:3"}
    root = made.write()
    (root / "README.md").write_text("---\ntags:\n- robot\nlicense: apache-2.0\n---\n# A set\n")
    assert recognize(root) == "lerobot"
    store, done = read(root)
    for key, column in (("state", "observation.state"), ("action", "action")):
        same(store, key, made.rows[column])
    same(store, "reward", [rows[:, None] for rows in made.rows["next.reward"]])
    attrs = store.attrs
    assert (attrs.tasks, attrs.robot, attrs.licence) == (("lift", "push"), "arm", "apache-2.0")
    assert attrs.control_dt == pytest.approx(0.1)
    assert attrs.obs_keys == ("state",)
    assert attrs.names == {"state": ("x", "y", "z")}
    assert attrs.splits == {"train": (0, 1), "test": (2,)}
    facts = {name: values.tolist() for name, values in store.episode_attrs.items()}
    assert facts == {
        "task": [0, 1, 0],
        "success": [True, False, True],
        "operator": [3, 1, 2],
        "quality": [0.5, 1.0, 2.0],
        "good": [True, False, True],
    }
    assert done.lost == ("next.done is not kept; an episode ends with its last step",)


@VERSIONS
def test_frames_are_those_of_their_steps(make_set, kit, version):
    made = make_set(version)
    made.cameras = {
        "observation.images.top": [kit["frames_of"](i, n) for i, n in enumerate(made.lengths)],
        "observation.images.side": [kit["frames_of"](i, n)[:, ::-1] // 2 for i, n in enumerate(made.lengths)],
    }
    made.per_file = 2
    store, _ = read(made.write())
    assert store.attrs.obs_keys == ("state", "top", "side")
    for i, n in enumerate(made.lengths):
        episode = store.episode(i)
        for camera in ("top", "side"):
            expected = made.cameras[f"observation.images.{camera}"][i]
            assert episode.obs[camera].shape == (n, 16, 24, 3)
            assert np.abs(episode.obs[camera].astype(int) - expected).max() <= 2


@VERSIONS
def test_cameras_episodes_and_size(make_set, kit, version):
    made = make_set(version)
    for camera in ("top", "side"):
        made.cameras[f"observation.images.{camera}"] = [kit["frames_of"](i, n) for i, n in enumerate(made.lengths)]
    root = made.write()
    store, done = read(root, cameras=("side",), episodes=2, image_size=(8, 6))
    assert (store.keys, done.num_episodes) == (("action", "side", "state"), 2)
    images = store.episode(1).obs["side"]
    assert images.shape == (6, 8, 6, 3)
    assert [round(image.mean()) for image in images] == pytest.approx([kit["level"](1, s) for s in range(6)], abs=2)
    DemoStore.open(root.parent / "out.zarr").path.rename(root.parent / "first.zarr")
    with pytest.raises(UserError, match=r"`cameras` front: no camera is called so \(there are: top, side\)"):
        read(root, cameras=("front",))


@pytest.mark.parametrize("cameras", [(), ("none",)])
def test_without_images_no_video_is_opened(make_set, kit, cameras):
    made = make_set()
    made.cameras = {"observation.images.top": [kit["frames_of"](i, n) for i, n in enumerate(made.lengths)]}
    root = made.write()
    for video in root.rglob("*.mp4"):
        video.write_text("no video")
    store, done = read(root, cameras=cameras)
    assert (store.keys, store.attrs.obs_keys, done.lost) == (("action", "state"), ("state",), ())


@pytest.mark.parametrize("codec", ["libx264", "libsvtav1", "libx265"])
def test_codecs_and_far_apart_key_frames(make_set, kit, codec):
    """Frames in the middle of a file are found also where decoding begins long before them, and out of order."""
    made = make_set("v3.0", (5, 6, 4))
    frames = [kit["frames_of"](i, n, 64, 64) for i, n in enumerate(made.lengths)]
    made.cameras = {"observation.images.top": frames}
    root = made.write()
    options = {"g": "100", "bf": "2", "crf": "5"} if codec != "libsvtav1" else {"g": "100", "crf": "5"}
    if codec == "libx265":
        options["x265-params"] = "log-level=none"
    (video,) = root.rglob("*.mp4")
    kit["write_video"](video, np.concatenate(frames), codec=codec, options=options)
    store, _ = read(root)
    for i, expected in enumerate(frames):
        means = store.episode(i).obs["top"].mean(axis=(1, 2, 3))
        np.testing.assert_allclose(means, expected.mean(axis=(1, 2, 3)), atol=2)


@VERSIONS
@pytest.mark.parametrize("how", ["fixed", "lists"])
def test_nested_columns(make_set, kit, version, how):
    made = make_set(version)
    rng = np.random.default_rng(1)
    made.rows |= {
        "observation.pose": [rng.normal(size=(n, 2, 3)) for n in made.lengths],
        "observation.count": [rng.integers(0, 9, n) for n in made.lengths],
        "observation.one": [rng.integers(0, 9, (n, 1)).astype(np.int32) for n in made.lengths],
        "observation.contact": [rng.random((n, 2)) > 0.5 for n in made.lengths],
        "observation.frames": [rng.normal(size=(n, 2, 4, 4)) for n in made.lengths],
        "action": [rng.normal(size=(n, 2, 3)) for n in made.lengths],
    }
    made.columns = dict.fromkeys(made.rows, kit[how])
    store, _ = read(made.write())
    for column in ("pose", "one", "contact"):
        same(store, column, made.rows[f"observation.{column}"])
    same(store, "count", [rows[:, None] for rows in made.rows["observation.count"]])
    same(store, "frames", [rows.reshape(len(rows), -1) for rows in made.rows["observation.frames"]])
    same(store, "action", [rows.reshape(len(rows), -1) for rows in made.rows["action"]])


def test_a_flat_column_takes_the_shape_that_is_said(make_set):
    made = make_set()
    made.features["observation.state"] = {"dtype": "float32", "shape": [3, 1], "names": None}
    made.features["action"] = {"dtype": "float32", "shape": [7], "names": None}  # wrong: it has 2
    store, _ = read(made.write())
    assert (store.shapes["state"], store.shapes["action"]) == ((3, 1), (2,))


def test_images_in_the_tables_are_exact(make_set, kit):
    made = make_set()
    rng = np.random.default_rng(2)
    color = [rng.integers(0, 256, (n, 9, 7, 3), dtype=np.uint8) for n in made.lengths]
    depth = [rng.integers(0, 65536, (n, 9, 7)).astype(np.uint16) for n in made.lengths]
    made.pictures = {
        "observation.image": [[kit["png"](image) for image in images] for images in color],
        "observation.depth": [[kit["png"](image) for image in images] for images in depth],
    }
    store, _ = read(made.write())
    same(store, "image", color)
    same(store, "depth", [images[..., None] for images in depth])


def test_depth_videos_keep_their_channel_and_bits(make_set, kit):
    made = make_set(lengths=(4, 3))
    rng = np.random.default_rng(3)
    depth = [rng.integers(0, 1024, (n, 16, 16)).astype(np.uint16) for n in made.lengths]
    made.cameras = {"observation.images.depth": [kit["frames_of"](0, n) for n in made.lengths]}
    made.features["observation.images.depth"] = {
        "dtype": "video",
        "shape": [1, 16, 16],
        "names": ["channels", "height", "width"],
        "info": {"video.is_depth_map": True},
    }
    root = made.write()
    for i, video in enumerate(sorted(root.rglob("*.mp4"))):
        kit["write_video"](video, depth[i] * 64, pix_fmt="gray10le", options={"qp": "0"})
    store, _ = read(root)
    assert store.dtypes["depth"] == np.uint16
    for i, expected in enumerate(depth):
        frames = store.episode(i).obs["depth"]
        assert frames.shape == (*expected.shape, 1)
        assert np.abs(frames[..., 0].astype(int) - expected).max() <= 1  # of 1024, by what dithering adds


@VERSIONS
def test_odd_names(make_set, version):
    made = make_set(version)
    names = {
        "observation.arm.joint pos": "arm.joint pos",
        "observation/force": "force",
        "höhe 高": "höhe 高",
        "a/b/c": "a.b.c",
        "observation.images.top": "observation.images.top",
        "observation.top": "observation.top",
        "observation.grip": "observation.grip",
        "grip": "grip",
        "observation.action": "observation.action",
        "observation..": "key_.",
        "__x": "key___x",
        "observation.reward": "observation.reward",
        "next.reward": "reward",
    }
    rng = np.random.default_rng(4)
    made.rows |= {column: [rng.normal(size=(n, 2)) for n in made.lengths] for column in names}
    store, _ = read(made.write())
    assert set(store.keys) == {"state", "action", *names.values()}
    for column, key in names.items():
        same(store, key, made.rows[column])


@VERSIONS
def test_numbers_with_gaps_and_out_of_order(make_set, kit, version):
    made = make_set(version)
    made.numbers = [7, 2, 12]
    made.tasks = ["c", "a", "b"]
    made.per_file = 3
    made.cameras = {"observation.images.top": [kit["frames_of"](i, n) for i, n in enumerate(made.lengths)]}
    made.info["splits"] = {"train": "0:8", "test": "8:13"}
    store, _ = read(made.write())
    order = [1, 0, 2]
    same(store, "state", [made.rows["observation.state"][i] for i in order])
    assert [store.attrs.tasks[i] for i in store.episode_attrs["task"]] == ["a", "c", "b"]
    assert store.attrs.splits == {"train": (0, 1), "test": (2,)}
    for position, i in enumerate(order):
        means = store.episode(position).obs["top"].mean(axis=(1, 2, 3))
        np.testing.assert_allclose(means, [kit["level"](i, s) for s in range(made.lengths[i])], atol=2)


def test_an_episode_may_go_on_in_the_next_file_and_group_of_rows(make_set):
    import pyarrow as pa
    import pyarrow.parquet as pq

    made = make_set("v3.0", (4, 6, 3))
    root = made.write()
    (path,) = root.glob("data/*/*.parquet")
    whole = pq.read_table(path)
    pq.write_table(whole.slice(0, 7), path, row_group_size=3)
    pq.write_table(pa.concat_tables([whole.slice(7)]), path.with_name("file-001.parquet"), row_group_size=2)
    store, _ = read(root)
    same(store, "state", made.rows["observation.state"])


def test_the_real_set_of_a_humanoid(tmp_path):
    if not G1.exists():
        pytest.skip(f"the recorded set is not at {G1} (set ROBOLEARN_SHARED)")
    import pyarrow.parquet as pq

    options = ImportOptions(cameras=("none",))
    done = import_demos(G1, tmp_path / "x.zarr", options=options)
    assert (done.num_episodes, done.num_steps, done.lost) == (100, 35965, ())
    store = DemoStore.open(tmp_path / "x.zarr")
    assert store.attrs.licence == "MIT License"
    assert store.attrs.tasks == ("Pick up the yellow bottle on the table.",)
    assert store.attrs.names["state"][:2] == ("kLeftShoulderPitch", "kLeftShoulderRoll")
    for number in (0, 57, 99):
        table = pq.read_table(G1 / f"data/chunk-000/episode_{number:06d}.parquet")
        episode = store.episode(number)
        np.testing.assert_array_equal(
            episode.obs["state"], np.array(table["observation.state"].to_pylist(), np.float32)
        )
        np.testing.assert_array_equal(episode.actions, np.array(table["action"].to_pylist(), np.float32))
    with pytest.raises(
        UserError, match=r"99 of 100 videos of observation\.images\.cam_high are missing; `cameras` none"
    ):
        import_demos(G1, tmp_path / "y.zarr")


@pytest.mark.slow
def test_the_one_video_of_the_real_set(tmp_path):
    if not G1.exists():
        pytest.skip(f"the recorded set is not at {G1} (set ROBOLEARN_SHARED)")
    import av

    done = import_demos(G1, tmp_path / "x.zarr", options=ImportOptions(cameras=("cam_high",)))
    assert done.num_episodes == 1
    assert done.lost == ("episodes 0-28, 30-99 are left out: their videos are missing",)
    images = DemoStore.open(tmp_path / "x.zarr").episode(0).obs["cam_high"]
    with av.open(str(next(G1.rglob("*.mp4")))) as container:
        for index, frame in enumerate(container.decode(video=0)):
            if index % 50 == 0:
                np.testing.assert_array_equal(images[index], frame.to_ndarray(format="rgb24"))
    assert len(images) == 221
