"""Stores whose cameras stay in their videos: the same images as decoded ones, wherever a store is read."""

import json
import os
import shutil
import zipfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from robolearn.commands.inspect import main as inspect_main
from robolearn.data.demos import Demos
from robolearn.data.store import DemoStore
from robolearn.data.windows import Windows
from robolearn.data.writer import DemoWriter
from robolearn.doctor.examine import examine
from robolearn.errors import UserError
from robolearn.formats.format import ExportOptions, ImportOptions
from robolearn.formats.transfer import export_demos, import_demos
from robolearn.keymap import KeyMap
from robolearn.nets.vision import VisionConfig
from robolearn.policies.flow import FlowConfig
from robolearn.training.config import DatasetConfig, TrainConfig
from robolearn.training.train import train
from robolearn.translation.apply import translate
from robolearn.translation.config import TranslatorConfig
from robolearn.translation.cyclegan import CycleGANConfig
from robolearn.translation.train import train_translator
from tests.formats.lerobot.conftest import frames_of
from tests.training.test_resume import assert_same_state, cut_at

SHARED = Path(os.environ.get("ROBOLEARN_SHARED", Path(__file__).parents[4] / "shared"))
G1 = SHARED / "data" / "lerobot" / "v21_g1"
VERSIONS = pytest.mark.parametrize("version", ["v2.1", "v3.0"])
LENGTHS = (4, 6, 3)
VIDEO = "video/top/000001.mp4"


@pytest.fixture
def root(make_set):
    return write_set(make_set, "v2.1")


def write_set(make_set, version, *others, **size):
    made = make_set(version)
    for camera in ("top", *others):
        made.cameras[f"observation.images.{camera}"] = [frames_of(i, n, **size) for i, n in enumerate(LENGTHS)]
    return made.write()


def both(root, **options):
    """The store with kept videos, and the one with decoded images."""
    stores = []
    for video in ("keep", "decode"):
        out = root.parent / f"{video}.zarr"
        import_demos(root, out, options=ImportOptions(video=video, **options))
        stores.append(DemoStore.open(out))
    return stores


def batches_agree(ours, theirs):
    assert list(ours.obs_shapes.items()) == list(theirs.obs_shapes.items())
    index = torch.randint(len(theirs), (40,), generator=torch.Generator().manual_seed(0))
    for part in index.split(10):
        batch, expected = ours.batch(part), theirs.batch(part)
        assert all(torch.equal(batch.obs[key], expected.obs[key]) for key in expected.obs)
        assert torch.equal(batch.actions, expected.actions)


@VERSIONS
@pytest.mark.parametrize("size", [None, (8, 12)])
def test_kept_videos_read_as_decoded_images(make_set, version, size):
    kept, decoded = both(write_set(make_set, version), image_size=size)
    assert (kept.keys, kept.shapes, kept.dtypes) == (decoded.keys, decoded.shapes, decoded.dtypes)
    np.testing.assert_array_equal(kept.read("top"), decoded.read("top"))
    np.testing.assert_array_equal(kept.rows("top", 3, 9), decoded.rows("top", 3, 9))
    np.testing.assert_array_equal(kept.episode(2).obs["top"], decoded.episode(2).obs["top"])
    assert kept.attrs.obs_keys == decoded.attrs.obs_keys
    assert not (kept.path / "data" / "top" / "c" / "0" / "0" / "0").exists()


@VERSIONS
@pytest.mark.parametrize("images_in_memory", [0, 5, 1000])
def test_windows_stream_what_others_hold(make_set, version, images_in_memory):
    kept, decoded = both(write_set(make_set, version))
    numbers = kept.num_steps * 3 * 4
    room = numbers + images_in_memory * 16 * 24 * 3
    ours = Windows.from_store(kept, ("state", "top"), 2, 4, max_resident_bytes=room)
    theirs = Windows.from_store(decoded, ("state", "top"), 2, 4)
    assert theirs.resident
    assert ours.resident == (images_in_memory == 1000)  # others are decoded ahead, while a step computes
    batches_agree(ours, theirs)
    batches_agree(ours.for_episodes([2, 0]), theirs.for_episodes([2, 0]))


def test_memory_that_is_full_takes_no_more(root):
    kept, _ = both(root)
    room = kept.num_steps * 3 * 4 + 5 * 16 * 24 * 3
    windows = Windows.from_store(kept, ("state", "top"), 1, 4, max_resident_bytes=room)
    windows.batch(torch.arange(len(windows)))
    images = windows._recording["top"]
    assert (images._count, len(images._kept), (images._slot >= 0).sum()) == (5, 5, 5)


def test_parts_and_mixtures_stream_too(root, tmp_path):
    kept, decoded = both(root)
    shutil.copytree(kept.path, tmp_path / "again.zarr")
    again = DemoStore.open(tmp_path / "again.zarr")
    mixed, plain = Demos([kept, again]), Demos([decoded, DemoStore.open(shutil.copytree(decoded.path, tmp_path / "d"))])
    some = np.array([1, 3, 5])
    ours = Windows.from_store(mixed.part(some), ("top",), 2, 4, max_resident_bytes=100)
    batches_agree(ours, Windows.from_store(plain.part(some), ("top",), 2, 4))
    assert mixed.part(some).content_hash(["top"]) != mixed.content_hash(["top"])
    assert Demos([again]).content_hash(["top"]) == kept.content_hash(["top"])


def test_a_renamed_camera_streams_and_a_cut_one_is_decoded(root, tmp_path):
    kept, _ = both(root)
    for entry, streams in (("img=top", True), ("img=top[:8]", False)):
        demos = Demos.open(kept.path, KeyMap.parse([entry]))
        assert (demos.video("img") is not None) == streams
        windows = Windows.from_store(demos, ("img",), 1, 4, cache_dir=tmp_path / "cache", max_resident_bytes=100)
        expected = kept.read("top")[:, : windows.obs_shapes["img"][0]]
        np.testing.assert_array_equal(windows.batch(torch.arange(len(windows))).obs["img"][:, 0], expected)


def test_inspect_says_which_cameras_lie_in_videos(root, capsys):
    for store, said in zip(both(root), (["uint8,", "in", "videos"], ["uint8"]), strict=True):
        with suppress(SystemExit):  # a training of such short episodes needs options
            inspect_main([str(store.path)], "inspect")
        (line,) = (line.split() for line in capsys.readouterr().out.splitlines() if " x 3 " in line)
        assert (line[0], line[6:-2]) == ("top", said)


def test_other_ways_to_read_a_store(root, tmp_path):
    kept, decoded = both(root)
    assert examine(kept).not_finite == examine(decoded).not_finite
    export_demos(kept.path, tmp_path / "out.hdf5", "robomimic", ExportOptions())
    import_demos(tmp_path / "out.hdf5", tmp_path / "back.zarr")
    np.testing.assert_array_equal(DemoStore.open(tmp_path / "back.zarr").read("top"), decoded.read("top"))
    assert DemoStore.open(tmp_path / "back.zarr").attrs.videos == ()


def test_nothing_is_appended(root):
    kept, decoded = both(root)
    with pytest.raises(UserError, match="nothing can be appended to a store with videos; import all episodes at once"):
        DemoWriter.append_to(kept.path).append(decoded.episode(0))


def remove(video):
    video.unlink()


def cut(video):
    content = video.read_bytes()
    video.unlink()  # it is linked to the source
    video.write_bytes(content[:-9])


def flip(video):
    content = bytearray(video.read_bytes())
    content[len(content) // 2] ^= 1
    video.unlink()
    video.write_bytes(content)


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (remove, f"{VIDEO}, of episode 1, is missing"),
        (cut, rf"{VIDEO}, of episode 1, has \d+ bytes, not \d+ as when it was kept"),
        (flip, f"{VIDEO}, of episode 1, is not what was kept; import it again"),
    ],
)
def test_a_lost_video_is_named_before_training_begins(root, tmp_path, harm, message):
    kept, _ = both(root)
    harm(kept.path / VIDEO)
    with pytest.raises(UserError, match=message):
        train(config(kept.path, tmp_path / "run"))
    assert not list((tmp_path / "run").glob("*.safetensors"))


def config(path, out, steps=2, memory_gib=1e-6, validation_fraction=0.0):
    return TrainConfig(
        FlowConfig(),
        dataset=DatasetConfig(path, ("state", "top"), validation_fraction=validation_fraction, memory_gib=memory_gib),
        vision=VisionConfig(width=8, num_keypoints=4, features=8),
        obs_horizon=2,
        action_horizon=2,
        exec_horizon=2,
        steps=steps,
        batch_size=4,
        rollout_every=0,
        wandb=False,
        threads=1,
        device="cpu",
        out=out,
    )


def test_a_run_is_the_same_whether_it_streams_or_not(root, tmp_path):
    """Ahead of its steps out of videos and from a memory map; with all in memory there is nothing to begin ahead."""
    kept, decoded = both(root)
    rooms = {"streamed": (kept, 1e-6), "mapped": (decoded, 1e-6), "resident": (decoded, 1.0)}
    runs = [
        train(config(store.path, tmp_path / name, steps=5, memory_gib=room)) for name, (store, room) in rooms.items()
    ]
    for run in runs[:2]:
        assert_same_state(run.directory, runs[2].directory)


@pytest.mark.long
def test_a_run_that_streams_goes_on_bit_for_bit(root, tmp_path):
    """What it had begun ahead when it was saved is drawn again; held-out frames come out of the same videos."""
    kept, _ = both(root)
    cfg = config(kept.path, tmp_path / "whole", steps=4, validation_fraction=0.34)
    whole = train(replace(cfg, checkpoint_every=2, keep_every=2)).directory
    half = cut_at(whole, 2, tmp_path / "half")
    train(replace(cfg, checkpoint_every=2, keep_every=2, out=half), resume=True)
    assert_same_state(half, whole)


def test_a_translation_is_the_same_whether_images_lie_in_videos_or_not(make_set, tmp_path):
    """What is written has its images decoded, also those of other cameras, and says of none that it lies in a video."""
    kept, decoded = both(write_set(make_set, "v2.1", "side", height=32, width=32))
    method = CycleGANConfig("dcgan", 8)
    cfg = TranslatorConfig(kept.path, decoded.path, tmp_path / "run", method, ("top",), 0.34, steps=1)
    run = train_translator(replace(cfg, device="cpu", threads=1))
    made = [translate(store.path, run, tmp_path / f"{store.path.stem}_made.zarr") for store in (kept, decoded)]
    assert made[0].content_hash() == made[1].content_hash()
    assert [store.attrs.videos for store in made] == [(), ()]
    assert translate(kept.path, run, made[0].path).num_episodes == len(LENGTHS)


def test_places_that_lead_nowhere_are_refused(root):
    kept, _ = both(root)
    facts = kept.path / "video" / "top" / "files.json"
    said = json.loads(facts.read_text())
    said["files"][2]["num_frames"] = 2
    facts.write_text(json.dumps(said))
    with pytest.raises(UserError, match="data/top names frame 2 of video 2 in row 12; there is none"):
        DemoStore.open(kept.path)
    said["files"][0]["name"] = "../../../secret.mp4"
    facts.write_text(json.dumps(said))
    with pytest.raises(UserError, match=r"'../../../secret.mp4' is no name of a file"):
        DemoStore.open(kept.path)
    facts.unlink()
    with pytest.raises(UserError, match=r"video/top/files.json is missing"):
        DemoStore.open(kept.path)


def test_links_out_of_a_store_and_zips_are_refused(root, tmp_path):
    kept, _ = both(root)
    with zipfile.ZipFile(tmp_path / "kept.zip", "w") as archive:
        for file in kept.path.rglob("*"):
            archive.write(file, file.relative_to(kept.path))
    with pytest.raises(UserError, match="lies in a zip, where videos cannot be decoded; unpack it"):
        DemoStore.open(tmp_path / "kept.zip")
    outside = shutil.copy(kept.path / VIDEO, tmp_path / "outside.mp4")
    (kept.path / VIDEO).unlink()
    (kept.path / VIDEO).symlink_to(outside)
    with pytest.raises(UserError, match=r"000001.mp4 is a link out of the store"):
        DemoStore.open(kept.path)


def test_a_video_that_cannot_be_decoded_is_refused_by_the_import(root, tmp_path):
    video = root / "videos/chunk-000/observation.images.top/episode_000001.mp4"
    content = bytearray(video.read_bytes())
    start = content.index(b"mdat") + 4
    content[start : start + 400] = bytes(400)
    video.write_bytes(content)
    with pytest.raises(UserError, match=r"episode 1: .*episode_000001\.mp4 is no video, or a damaged one"):
        import_demos(root, tmp_path / "out.zarr", options=ImportOptions(video="keep"))
    assert not (tmp_path / "out.zarr").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cameras": ("none",)}, "`video` keep: .* has no videos that could be kept"),
        ({"obs": ("img=top",)}, "nothing is made of top, whose videos are kept; give `dataset.obs` in training"),
    ],
)
def test_what_cannot_be_kept_is_said(root, tmp_path, options, message):
    with pytest.raises(UserError, match=message):
        import_demos(root, tmp_path / "out.zarr", options=ImportOptions(video="keep", **options))


def test_a_dropped_camera_leaves_no_video(root, tmp_path):
    options = ImportOptions(video="keep", drop_keys=("top",))
    import_demos(root, tmp_path / "out.zarr", options=options)
    assert not (tmp_path / "out.zarr" / "video").exists()
    assert DemoStore.open(tmp_path / "out.zarr").attrs.videos == ()


@pytest.mark.long
def test_a_real_episode_trains(tmp_path):
    if not G1.is_dir():
        pytest.skip(f"the data set of a Unitree G1 is not at {G1} (set ROBOLEARN_SHARED)")
    options = ImportOptions(video="keep", cameras=("cam_high",), image_size=(60, 80))
    done = import_demos(G1, tmp_path / "g1.zarr", options=options)
    assert (done.num_episodes, done.num_steps) == (1, 221)
    cfg = config(done.path, tmp_path / "run", steps=20)
    run = train(replace(cfg, dataset=replace(cfg.dataset, obs_keys=("state", "cam_high"))))
    assert run.last_step() == 20
