"""Videos and images as they are found: imported rightly, or refused in a line that says what to do."""

import numpy as np
import pyarrow as pa
import pytest

from tests.formats.lerobot.wild import POINTER, TOP, intact, read, refused, set_column, tables, with_camera


@pytest.mark.parametrize("version", ["v2.1", "v3.0"])
@pytest.mark.parametrize("pointer", [False, True])
def test_missing_videos(make_set, kit, version, pointer):
    made = with_camera(make_set, kit, version)
    made.per_file = 2
    root = made.write()
    video = sorted(root.rglob("*.mp4"))[-1]  # of the last episode in both
    if pointer:
        video.write_text(POINTER)
    else:
        video.unlink()
    line = refused(root)
    assert f"1 of 3 videos of {TOP} are missing" in line
    assert ("git lfs pull fetches them" in line) == pointer
    assert (
        f"`cameras` none imports all 3 episodes without images, `cameras` {TOP} those 2 that have their videos" in line
    )
    store, done = read(root, cameras=("top",))
    assert (store.num_episodes, done.num_episodes) == (2, 2)
    assert done.lost[0].startswith("episodes 2 are left out: their videos are missing")
    (root.parent / "out.zarr").rename(root.parent / "first.zarr")
    assert read(root, episodes=2)[1].lost == ()  # all that was asked for is there


def test_no_video_at_all(make_set, kit):
    root = with_camera(make_set, kit).write()
    for video in root.rglob("*.mp4"):
        video.unlink()
    assert refused(root, cameras=("top",)).endswith("`cameras` none imports all 3 episodes without images")


def test_the_first_episodes_that_have_videos(make_set, kit):
    root = with_camera(make_set, kit).write()
    sorted(root.rglob("*.mp4"))[0].unlink()
    store, done = read(root, cameras=("top",), episodes=1)
    assert len(store.episode(0)) == 5
    assert done.lost == ("episodes 0 are left out: their videos are missing",)


def test_joint_videos_without_their_facts(make_set, kit):
    made = with_camera(make_set, kit, "v3.0")
    root = made.write()
    (path,) = (root / "meta" / "episodes").rglob("*.parquet")
    path.unlink()
    line = refused(root)
    assert f"meta/episodes does not say where in the videos of {TOP} episode 0 is; download meta/episodes" in line
    intact(read(root, cameras=())[0], made)


@pytest.mark.parametrize("version", ["v2.1", "v3.0"])
@pytest.mark.parametrize("content", [b"", b"no video", None])
def test_damaged_videos(make_set, kit, version, content):
    root = with_camera(make_set, kit, version).write()
    video = sorted(root.rglob("*.mp4"))[-1]
    video.write_bytes(video.read_bytes()[:-200] if content is None else content)
    assert f"{video} is no video, or a damaged one" in refused(root)


def test_frames_that_no_times_fit_are_taken_in_order(make_set, kit):
    for name, start in (("late", 0.25), ("clock", 1.7e9)):
        made = with_camera(lambda version, lengths, name=name: make_set(version, lengths, name), kit)
        made.start = start
        made.info["fps"] = 10
        store, _ = read(made.write())
        for i, n in enumerate(made.lengths):
            means = store.episode(i).obs["top"].mean(axis=(1, 2, 3))
            np.testing.assert_allclose(means, [kit["level"](i, step) for step in range(n)], atol=2)
        (made.root.parent / "out.zarr").rename(made.root.parent / f"{name}.zarr")


def test_a_video_of_more_frames_than_steps_is_read_by_the_times(make_set, kit):
    made = with_camera(make_set, kit, lengths=(4, 3))
    made.start = 0.2  # and the video began with the recording, two frames earlier
    root = made.write()
    for i, video in enumerate(sorted(root.rglob("*.mp4"))):
        kit["write_video"](video, kit["frames_of"](i, made.lengths[i] + 4))
    store, _ = read(root)
    means = store.episode(1).obs["top"].mean(axis=(1, 2, 3))
    np.testing.assert_allclose(means, [kit["level"](1, step) for step in (2, 3, 4)], atol=2)


def test_a_video_that_ends_early_is_refused(make_set, kit):
    root = with_camera(make_set, kit).write()
    video = sorted(root.rglob("*.mp4"))[1]
    kit["write_video"](video, kit["frames_of"](1, 3))
    line = refused(root)
    assert f"{video}: episode 1 has 5 steps, and 3 frames of {TOP} at other times; leave the camera out" in line


def test_frames_that_are_not_evenly_spaced(make_set, kit):
    """Recorded with two frames dropped: each step has the frame that was shown at its time."""
    made = make_set(lengths=(4, 4))
    made.cameras[TOP] = [kit["frames_of"](i, n) for i, n in enumerate(made.lengths)]
    made.rows["timestamp"] = [np.array([0, 0.1, 0.4, 0.5], np.float32)] * 2
    root = made.write()
    for i, video in enumerate(sorted(root.rglob("*.mp4"))):
        kit["write_video"](video, kit["frames_of"](i, 4), pts=[0, 1, 4, 5])
    store, _ = read(root)
    means = store.episode(1).obs["top"].mean(axis=(1, 2, 3))
    np.testing.assert_allclose(means, [kit["level"](1, step) for step in range(4)], atol=2)


def test_videos_of_different_sizes(make_set, kit):
    root = with_camera(make_set, kit).write()
    kit["write_video"](sorted(root.rglob("*.mp4"))[1], kit["frames_of"](1, 5, 32, 32))
    assert "episode 1: top has steps of shape (32, 32, 3), those before of (16, 24, 3); give `image_size`" in refused(
        root
    )
    store, _ = read(root, image_size=(8, 8))
    assert store.shapes["top"] == (8, 8, 3)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"bytes": None, "path": None}, "there is no image; leave the camera out by `cameras`"),
        ({"bytes": None, "path": "gone.png"}, "there is no image; leave the camera out by `cameras`"),
        ({"bytes": None, "path": "../../secret.png"}, "leads out of the data set"),
        ({"bytes": b"no picture", "path": None}, "step 2: a damaged image"),
        ("other size", r"the image is uint8 \[5, 5, 3\], those before are uint8 \[6, 4, 3\]; give `image_size`"),
    ],
)
def test_damaged_images(make_set, kit, entry, message):
    made = make_set(lengths=(3,))
    picture = kit["png"](np.zeros((6, 4, 3), np.uint8))
    made.pictures["observation.image"] = [[picture] * 3]
    root = made.write()
    bad = {"bytes": kit["png"](np.zeros((5, 5, 3), np.uint8)), "path": None} if entry == "other size" else entry
    (path,) = tables(root)
    set_column(path, "observation.image", pa.array([{"bytes": picture, "path": None}] * 2 + [bad]))
    refused(root, message)
    intact(read(root, cameras=())[0], made)


def test_images_beside_the_tables(make_set, kit):
    made = make_set(lengths=(2,))
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (2, 6, 4, 3), dtype=np.uint8)
    made.pictures["observation.image"] = [[b"", b""]]
    root = made.write()
    (root / "images").mkdir()
    for i, image in enumerate(images):
        (root / "images" / f"{i}.png").write_bytes(kit["png"](image))
    entries = [{"bytes": None, "path": f"images/{i}.png"} for i in range(2)]
    set_column(tables(root)[0], "observation.image", pa.array(entries))
    np.testing.assert_array_equal(read(root)[0].episode(0).obs["image"], images)
