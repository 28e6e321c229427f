"""ACT's files as they are found: plain and packed images, further arrays, gaps and damage."""

import io
import json

import h5py
import numpy as np
import pytest
from PIL import Image

from robolearn.data.store import DemoStore
from robolearn.errors import UserError
from robolearn.formats.format import ImportOptions
from robolearn.formats.registry import recognize
from robolearn.formats.transfer import export_demos, import_demos

STEPS = 4


def frames(i, cam=0):
    """Images that JPEG hardly changes."""
    gradient = np.linspace(0, 200, 16 * 12).reshape(12, 16, 1) + np.array([5 * i, 5 * cam, 0])
    return np.repeat(gradient[None], STEPS, 0).astype(np.uint8)


def jpegs(images, kind="JPEG"):
    packed = []
    for image in images:
        stream = io.BytesIO()
        Image.fromarray(image).save(stream, kind, quality=95)
        packed.append(stream.getvalue())
    return packed


def padded(packed):
    longest = max(map(len, packed)) + 3
    return np.array([np.frombuffer(row.ljust(longest, b"\0"), np.uint8) for row in packed])


def varying(packed):
    rows = np.empty(len(packed), object)
    rows[:] = [np.frombuffer(row, np.uint8) for row in packed]
    return rows


@pytest.fixture
def folder(tmp_path):
    """Episodes 0, 2 and 10, as ACT records them."""
    path = tmp_path / "sim_transfer_cube"
    path.mkdir()
    for i in (0, 2, 10):
        rng = np.random.default_rng(i)
        with h5py.File(path / f"episode_{i}.hdf5", "w", rdcc_nbytes=1024**2 * 2) as file:
            file.attrs["sim"] = True
            for name in ("observations/qpos", "observations/qvel", "action"):
                file[name] = rng.normal(size=(STEPS, 14))
            for cam, name in enumerate(("top", "angle")):
                file.create_dataset(f"observations/images/{name}", data=frames(i, cam), chunks=(1, 12, 16, 3))
    (path / "dataset_stats.pkl").touch()
    (path / "episode_0_video.mp4").touch()
    return path


def change(folder, what, number=None):
    for i in (0, 2, 10) if number is None else (number,):
        with h5py.File(folder / f"episode_{i}.hdf5", "a") as file:
            what(file, i)


def replace(name, rows, **options):
    def what(file, i):
        if name in file:
            del file[name]
        file.create_dataset(name, data=rows(i) if callable(rows) else rows, **options)

    return what


def taken(folder, **options):
    done = import_demos(folder, folder.with_suffix(".zarr"), "act", ImportOptions(**options))
    return DemoStore.open(done.path), " | ".join(done.lost)


def test_everything_there_is(folder):
    assert recognize(folder) == "act"
    assert recognize(folder / "episode_2.hdf5") == "act"
    store, lost = taken(folder)
    assert sorted(store.keys) == ["action", "angle", "qpos", "qvel", "top"]
    assert store.attrs.obs_keys == ("angle", "top", "qpos", "qvel")
    assert store.episode_attrs["sim"].tolist() == [True] * 3
    np.testing.assert_array_equal(store.episode(2).obs["top"], frames(10))
    np.testing.assert_array_equal(store.episode(1).actions, np.random.default_rng(2).normal(size=(3, STEPS, 14))[2])
    assert store.attrs.control_dt is None
    assert lost == ""


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize(
    ("pack", "options"),
    [
        (padded, {}),
        (lambda packed: padded(packed).view(np.int8), {}),
        (np.array, {}),
        (varying, {"dtype": h5py.vlen_dtype(np.uint8)}),
    ],
)
def test_packed_images(folder, pack, options, kind):
    change(folder, replace("observations/images/top", lambda i: pack(jpegs(frames(i), kind)), **options))
    change(folder, lambda file, i: file.attrs.update({"compress": True}))
    change(folder, replace("compress_len", np.ones((2, STEPS))))
    store, lost = taken(folder)
    assert store.shapes["top"] == (12, 16, 3)
    read = store.episode(2).obs["top"].astype(int)
    assert np.abs(read - frames(10)).max() <= (0 if kind == "PNG" else 9)  # colors in their order
    assert "compress_len" not in lost
    assert "compress" not in store.episode_attrs


def test_images_are_scaled_and_chosen(folder):
    change(folder, replace("observations/images/top", lambda i: padded(jpegs(frames(i)))))
    store, _ = taken(folder, image_size=(6, 8), cameras=("top",))
    assert store.shapes["top"] == (6, 8, 3)
    assert "angle" not in store.keys


def test_further_arrays(folder):
    change(folder, replace("base_action", lambda i: np.full((STEPS, 2), i)))
    change(folder, replace("observations/effort", lambda i: np.full((STEPS, 14), i)))
    change(folder, replace("observations/images_depth/top", lambda i: np.full((STEPS, 12, 16), i, np.uint16)))
    change(folder, replace("language_raw", b"put the cube into the other hand"))
    change(folder, replace("rewards", np.arange(STEPS)))
    change(folder, lambda file, i: file.attrs.update({"fps": 50, "success": i > 0}))
    store, _ = taken(folder)
    assert store.attrs.tasks == ("put the cube into the other hand",)
    assert store.attrs.control_dt == 0.02
    assert store.episode_attrs["success"].tolist() == [False, True, True]
    assert store.shapes["images_depth.top"] == (12, 16, 1)
    assert store.episode(2).obs["base_action"].max() == 10
    assert store.episode(0).obs["reward"][:, 0].tolist() == [0, 1, 2, 3]
    assert not {"base_action", "reward"} & set(store.attrs.obs_keys or ())


def test_what_an_act_loader_reads(rich_store, tmp_path):
    """As utils.py of ACT goes through its files."""
    export_demos(rich_store, tmp_path / "act", "act")
    store = DemoStore.open(rich_store)
    for i in range(store.num_episodes):
        with h5py.File(tmp_path / "act" / f"episode_{i}.hdf5", "r") as root:
            episode = store.episode(i)
            assert root.attrs["sim"] is np.False_ or not root.attrs["sim"]
            assert root["/action"].shape == episode.actions.shape
            np.testing.assert_array_equal(root["/action"][()], episode.actions)
            np.testing.assert_array_equal(root["/observations/qpos"][()], episode.obs["state"])
            np.testing.assert_array_equal(root["/observations/images/top"][()], episode.obs["top"])
            assert not root["/observations/qvel"][()].any()


def cut(folder):
    path = folder / "episode_2.hdf5"
    path.write_bytes(path.read_bytes()[:3000])


def no_group(file, i):
    del file["observations"]


def broken_jpeg(file, i):
    rows = padded(jpegs(frames(i)))
    rows[2, 40:] = 7
    replace("observations/images/top", rows)(file, i)


def other_size(file, i):
    packed = jpegs([*frames(i)[:3], np.zeros((4, 4, 3), np.uint8)])
    replace("observations/images/top", padded(packed))(file, i)


def images_unlike_the_first(folder):
    change(folder, replace("observations/images/top", lambda i: padded(jpegs(frames(i)))))


REFUSED = [
    (cut, r"episode_2\.hdf5: is no HDF5 file or a damaged one; copy it again"),
    (lambda f: change(f, no_group, 10), r"episode_10\.hdf5: ACT has action and a group observations; there is action"),
    (
        lambda f: change(f, replace("action", np.zeros((9, 14))), 2),
        r"episode_2\.hdf5: angle has 4 rows for 9 actions; mend the file",
    ),
    (lambda f: change(f, replace("action", np.full((STEPS, 14), np.inf)), 2), "action is inf at step 0, dimension 0"),
    (
        lambda f: (images_unlike_the_first(f), change(f, broken_jpeg, 2)),
        r"episode_2\.hdf5: top, step 2: a damaged image",
    ),
    (
        lambda f: (images_unlike_the_first(f), change(f, other_size, 10)),
        r"episode_10\.hdf5: top, step 3: an image of shape \(4, 4, 3\), the first one has \(12, 16, 3\)",
    ),
    (lambda f: (f / "episode_2.hdf5").write_bytes(b"version https://git-lfs.github.com/spec/v1\n"), "git lfs pull"),
    (lambda f: [file.unlink() for file in f.glob("*.hdf5")], "no episodes in it, files as episode_0.hdf5"),
]


@pytest.mark.parametrize(("harm", "said"), REFUSED)
def test_refused_in_one_line(folder, harm, said):
    harm(folder)
    with pytest.raises(UserError, match=said) as caught:
        taken(folder)
    assert "\n" not in str(caught.value)
    assert not folder.with_suffix(".zarr").exists()


def test_a_store_without_numbers_is_refused(tmp_path, rich_store):
    import_demos(_as_robomimic(tmp_path, rich_store), tmp_path / "x.zarr")
    root = tmp_path / "x.zarr" / "zarr.json"
    document = json.loads(root.read_text())
    document["attributes"]["obs_keys"] = ["top"]
    root.write_text(json.dumps(document))
    with pytest.raises(UserError, match="the store has no observations that are numbers"):
        export_demos(tmp_path / "x.zarr", tmp_path / "act", "act")
    assert not (tmp_path / "act").exists()


def _as_robomimic(tmp_path, rich_store):
    export_demos(rich_store, tmp_path / "x.hdf5", "robomimic")
    return tmp_path / "x.hdf5"
