"""Frames out of videos in any order, against the same file decoded from its beginning to its end."""

from fractions import Fraction

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robolearn.data import videos as videos_module
from robolearn.data.video import Video
from robolearn.data.videos import VideoReader
from robolearn.errors import UserError

SIZE = (32, 48)
# Name -> codec, its options. Open groups of pictures begin with frames that are shown before their key frame.
CODECS = {
    "every other a key": ("libx264", {"g": "2", "bf": "0"}),
    "b-frames": ("libx264", {"g": "12", "bf": "3", "x264-params": "scenecut=0"}),
    "open groups": ("libx264", {"g": "6", "bf": "2", "x264-params": "open-gop=1:scenecut=0:keyint=6:min-keyint=6"}),
    "one key": ("libx264", {"g": "1000", "bf": "2", "x264-params": "scenecut=0"}),
    "mpeg4": ("mpeg4", {"g": "5", "bf": "2"}),
}
MOST = 37


def write_video(path, frames, codec="libx264", options=None):
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream(codec, rate=30, options=options or {})
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], "yuv420p"
        for i, frame in enumerate(frames):
            made = av.VideoFrame.from_ndarray(frame, format="rgb24")
            made.pts, made.time_base = i, Fraction(1, 30)
            container.mux(stream.encode(made))
        container.mux(stream.encode())
    return path


def noise(count, seed=0):
    """Frames that no codec predicts without loss: a frame that was decoded from the wrong ones looks wrong."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 256, (count, 8, 12, 3), np.uint8)
    return blocks.repeat(4, axis=1).repeat(4, axis=2)


def decode_all(path, size=None):
    """The plainest decoding there is."""
    with av.open(str(path)) as container:
        frames = sorted(container.decode(video=0), key=lambda frame: frame.pts)
        if size is None:
            return np.stack([frame.to_ndarray(format="rgb24") for frame in frames])
        return np.stack(
            [f.to_ndarray(format="rgb24", width=size[1], height=size[0], interpolation="AREA") for f in frames]
        )


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """(name, number of frames) -> path and all frames, written once."""
    folder, made = tmp_path_factory.mktemp("videos"), {}

    def get(name, count):
        if (name, count) not in made:
            codec, options = CODECS[name]
            path = write_video(folder / f"{name} {count}.mp4", noise(count), codec, options)
            made[name, count] = path, decode_all(path)
        return made[name, count]

    return get


@pytest.mark.parametrize("name", CODECS)
@settings(max_examples=15, deadline=None)
@given(
    count=st.sampled_from([1, 2, 13, MOST]), orders=st.lists(st.lists(st.integers(0, MOST - 1), min_size=1), min_size=1)
)
def test_any_frames_in_any_order_are_those_of_the_whole_video(recorded, name, count, orders):
    path, whole = recorded(name, count)
    assert len(whole) == count
    reader = VideoReader([path], whole.shape[1:])
    for order in orders:  # of one reader: what it decoded before leaves no trace
        wanted = np.array(order) % count
        places = np.stack([np.zeros_like(wanted), wanted], axis=1)
        np.testing.assert_array_equal(reader.read(places), whole[wanted])


def test_a_frame_is_decoded_from_its_own_key_frame_on(recorded, monkeypatch):
    path, whole = recorded("every other a key", MOST)
    video = Video(path, 3, None, threads=1)
    shown = []
    decode = Video._decode_from
    monkeypatch.setattr(Video, "_decode_from", lambda self, key: (shown.append(f.pts) or f for f in decode(self, key)))
    np.testing.assert_array_equal(video.frames(np.array([3, 20, 21, 36])), whole[[3, 20, 21, 36]])
    assert len(shown) <= 8


def test_frames_are_scaled_as_an_import_scales_them(recorded):
    path, _ = recorded("b-frames", 13)
    small = Video(path, 3, (16, 24)).frames(np.arange(13))
    np.testing.assert_array_equal(VideoReader([path], (16, 24, 3)).read(np.array([[0, 7], [0, 2]])), small[[7, 2]])
    np.testing.assert_array_equal(small, decode_all(path, (16, 24)))


def test_more_videos_than_are_open_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(videos_module, "OPEN_VIDEOS", 2)
    paths = [write_video(tmp_path / f"{i}.mp4", noise(3, seed=i)) for i in range(5)]
    whole = np.stack([decode_all(path) for path in paths])
    reader, rng = VideoReader(paths, (*SIZE, 3)), np.random.default_rng(0)
    for _ in range(3):
        number, frame = rng.integers(0, 5, 20), rng.integers(0, 3, 20)
        np.testing.assert_array_equal(reader.read(np.stack([number, frame], 1)), whole[number, frame])
        assert len(reader._open) <= 2


def test_a_list_of_other_videos_is_not_followed(tmp_path):
    write_video(tmp_path / "secret.mp4", noise(3))
    playlist = tmp_path / "list.mp4"
    playlist.write_text("ffconcat version 1.0\nfile secret.mp4\n")
    with pytest.raises(UserError, match=r"list\.mp4 is no video, or a damaged one"):
        Video(playlist, 3, None)


def test_a_video_that_has_fewer_frames_than_are_needed_is_refused(recorded):
    path, _ = recorded("mpeg4", 13)
    with pytest.raises(UserError, match="it has 13 frames, 14 are needed"):
        Video(path, 3, None).frames(np.array([2, 13]))
