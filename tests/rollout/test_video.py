import av
import numpy as np
import pytest

from robolearn.rollout.video import write_mp4


def moving_square(num_frames: int, height: int, width: int) -> np.ndarray:
    frames = np.zeros((num_frames, height, width, 3), np.uint8)
    for i, frame in enumerate(frames):
        frame[8:24, 2 * i : 2 * i + 16] = (230, 30, 30)
    return frames


def decode(path):
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = [f.to_ndarray(format="rgb24") for f in container.decode(stream)]
        assert stream.average_rate is not None
        return stream.codec_context.name, stream.pix_fmt, float(stream.average_rate), np.stack(frames)


@pytest.mark.parametrize("size", [(48, 64), (47, 63)])
def test_written_frames_come_back_in_order(tmp_path, size):
    frames = moving_square(12, *size)
    write_mp4(tmp_path / "v.mp4", frames, fps=12.5)
    codec, pix_fmt, rate, decoded = decode(tmp_path / "v.mp4")
    assert (codec, pix_fmt, rate) == ("h264", "yuv420p", 12.5)
    assert decoded.shape == (12, 48, 64, 3)  # odd sizes are padded
    error = np.abs(decoded[:, : size[0], : size[1]].astype(int) - frames)
    assert error.mean() < 3
    assert (decoded[5, 16, 12:24, 0] > 150).all()  # red stays red: channels are not swapped
    assert (decoded[5, 16, 12:24, 2] < 100).all()


def test_an_iterator_is_consumed_and_the_index_comes_first(tmp_path):
    write_mp4(tmp_path / "v.mp4", iter(moving_square(5, 32, 32)), fps=10.0)
    content = (tmp_path / "v.mp4").read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")
    assert len(decode(tmp_path / "v.mp4")[3]) == 5


def test_a_failing_renderer_leaves_the_old_file_and_no_debris(tmp_path):
    path = tmp_path / "v.mp4"
    path.write_bytes(b"old")

    def frames():
        yield from moving_square(3, 32, 32)
        raise RuntimeError("renderer")

    with pytest.raises(RuntimeError, match="renderer"):
        write_mp4(path, frames(), fps=10.0)
    assert [p.name for p in tmp_path.iterdir()] == ["v.mp4"]
    assert path.read_bytes() == b"old"


def test_bad_input_names_the_frame(tmp_path):
    path = tmp_path / "v.mp4"
    with pytest.raises(ValueError, match="at least one frame"):
        write_mp4(path, np.zeros((0, 8, 8, 3), np.uint8), fps=10.0)
    with pytest.raises(ValueError, match="fps must be positive"):
        write_mp4(path, moving_square(2, 32, 32), fps=0.0)
    mixed = [np.zeros((32, 32, 3), np.uint8), np.zeros((32, 48, 3), np.uint8)]
    with pytest.raises(ValueError, match=r"frame 1 is uint8 \[32, 48, 3\]"):
        write_mp4(path, mixed, fps=10.0)
    with pytest.raises(ValueError, match="frame 0 is float64"):
        write_mp4(path, iter([np.zeros((32, 32, 3))]), fps=10.0)
    assert not list(tmp_path.iterdir())
