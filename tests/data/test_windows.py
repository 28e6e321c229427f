"""Windows against a naive reference that walks the recording step by step."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from robolearn.data import store as store_module
from robolearn.data.attrs import StoreAttrs
from robolearn.data.store import DemoStore
from robolearn.data.windows import Windows, narrow_kind
from robolearn.data.writer import DemoWriter
from robolearn.images import ImageLayout
from robolearn.types import Episode
from tests.data.episodes import make_episode


def naive_windows(obs, actions, ends, o, t, episodes):
    """(observations [o], actions [t], mask [t]) for every step of the chosen episodes."""
    for episode in episodes:
        start, stop = ([0, *ends])[episode], ends[episode]
        for i in range(start, stop):
            past = [max(start, i - o + 1 + j) for j in range(o)]
            future = [min(stop - 1, i + j) for j in range(t)]
            mask = [i + j < stop for j in range(t)]
            yield {key: rows[past] for key, rows in obs.items()}, actions[future], torch.tensor(mask)


def assert_equal(windows, expected):
    expected = list(expected)
    assert len(windows) == len(expected)
    order = torch.randperm(len(windows), generator=torch.Generator().manual_seed(0))
    batch = windows.batch(order)
    for row, i in enumerate(order):
        obs, actions, mask = expected[i]
        for key in obs:
            assert torch.equal(batch.obs[key][row], obs[key])
        assert torch.equal(batch.actions[row], actions)
        assert torch.equal(batch.mask[row], mask)


def recording(lengths):
    num_steps = sum(lengths)
    obs = {
        "state": torch.arange(num_steps * 3, dtype=torch.float32).reshape(-1, 3),
        "img": torch.arange(num_steps * 12).remainder(256).to(torch.uint8).reshape(-1, 2, 2, 3),
    }
    return obs, torch.arange(num_steps * 2, dtype=torch.float32).reshape(-1, 2) + 0.5, np.cumsum(lengths)


@settings(max_examples=60)
@given(
    lengths=st.lists(st.integers(1, 6), min_size=1, max_size=5),
    o=st.integers(1, 5),
    t=st.integers(1, 8),
    resident=st.booleans(),
    data=st.data(),
)
def test_windows_match_the_naive_reference(lengths, o, t, resident, data):
    obs, actions, ends = recording(lengths)
    episodes = data.draw(
        st.none() | st.lists(st.integers(0, len(lengths) - 1), min_size=1, unique=True), label="episodes"
    )
    windows = Windows(obs, actions, ends, o, t, episodes=episodes, resident=resident)
    chosen = range(len(lengths)) if episodes is None else episodes
    assert_equal(windows, naive_windows(obs, actions, ends, o, t, chosen))
    rows = torch.cat([torch.arange(ends[e] - lengths[e], ends[e]) for e in chosen])
    assert torch.equal(windows.arrays()["action"], actions[rows])
    assert torch.equal(windows.arrays()["state"], obs["state"][rows])
    assert windows.episode_of.tolist() == [episode for episode in chosen for _ in range(lengths[episode])]


@pytest.mark.parametrize("resident", [True, False])
def test_held_padding_counts_and_is_the_last_action(resident):
    obs, actions, ends = recording([4, 2])
    held = Windows(obs, actions, ends, 2, 3, episodes=[0], resident=resident, padding="held")
    masked = Windows(obs, actions, ends, 2, 3, episodes=[0], resident=resident)
    for one, other in [(held, masked), (held.for_episodes([1]), masked.for_episodes([1]))]:
        index = torch.arange(len(one))
        assert one.batch(index).mask.all()
        assert not other.batch(index).mask.all()
        assert torch.equal(one.batch(index).actions, other.batch(index).actions)
    assert torch.equal(held.batch(torch.tensor([3])).actions[0], actions[[3, 3, 3]])


@pytest.mark.parametrize("resident", [True, False])
def test_other_episodes_of_the_same_recording(resident):
    obs, actions, ends = recording([4, 3, 2])
    others = Windows(obs, actions, ends, 2, 3, episodes=[0, 2], resident=resident).for_episodes([1])
    assert others.episodes.tolist() == [1]
    assert_equal(others, naive_windows(obs, actions, ends, 2, 3, [1]))


def test_images_lie_in_memory_once():
    """Neither the windows, their statistics nor other windows of the recording copy them."""
    obs, actions, ends = recording([4, 3])
    train = Windows(obs, actions, ends, 2, 3, episodes=[0])
    for windows in (train, train.for_episodes([1])):
        assert windows._recording["img"].data_ptr() == obs["img"].data_ptr()
        assert set(windows.arrays()) == {"state", "action"}
        assert windows.obs_shapes == {"state": (3,), "img": (2, 2, 3)}


def test_the_reference_notices_a_window_across_episodes():
    obs, actions, ends = recording([4, 3])
    one_episode = Windows(obs, actions, [7], 2, 3)
    with pytest.raises(AssertionError):
        assert_equal(one_episode, naive_windows(obs, actions, ends, 2, 3, [0, 1]))


def test_a_batch_is_a_copy():
    obs, actions, ends = recording([4])
    windows = Windows(obs, actions, ends, 2, 3)
    windows.batch(torch.tensor([0, 1])).actions.zero_()
    assert_equal(windows, naive_windows(obs, actions, ends, 2, 3, [0]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"obs_horizon": 0}, "horizons must be at least 1, got obs 0, action 3"),
        ({"action_horizon": 0}, "horizons must be at least 1"),
        ({"episodes": []}, "no episodes chosen"),
        ({"episodes": [0, 2]}, "no episode 2; there are 0 .. 1"),
        ({"episodes": [-1]}, "no episode -1"),
        ({"episode_ends": [4, 8]}, "has 7 rows but the last episode ends at 8"),
        ({"episode_ends": [4, 4, 7]}, "episode 1 has no steps"),
        ({"episode_ends": np.zeros(0, int)}, "zero episodes"),
    ],
)
def test_bad_arguments(change, message):
    obs, actions, ends = recording([4, 3])
    arguments = {"episode_ends": ends, "obs_horizon": 2, "action_horizon": 3, **change}
    with pytest.raises(ValueError, match=message):
        Windows(obs, actions, **arguments)


@pytest.fixture
def store(tmp_path):
    store = DemoWriter.create(tmp_path / "x.zarr", attrs=StoreAttrs())
    store.extend([make_episode(i) for i in range(5)])
    return DemoStore.open(store.path)


def test_memory_mapped_equals_resident(store, tmp_path, monkeypatch):
    monkeypatch.setattr(store_module, "SLAB_BYTES", 64)
    resident = Windows.from_store(store, ("state", "img"), 2, 4)
    small = {"cache_dir": tmp_path / "cache", "max_resident_bytes": 10}
    mapped = Windows.from_store(store, ("state", "img"), 2, 4, **small)
    index = torch.arange(len(resident)).flip(0)
    a, b = resident.batch(index), mapped.batch(index)
    assert a.obs["img"].dtype == torch.uint8
    assert a.obs["state"].dtype == torch.float32
    for key in a.obs:
        assert torch.equal(a.obs[key], b.obs[key])
    assert torch.equal(a.actions, b.actions)
    assert torch.equal(a.mask, b.mask)


def test_what_a_killed_process_left_of_a_copy_is_written_over(store, tmp_path):
    small = {"cache_dir": tmp_path / "cache", "max_resident_bytes": 0}
    Windows.from_store(store, ("state",), 1, 1, **small)
    (copy,) = (tmp_path / "cache").iterdir()
    whole = copy.read_bytes()
    copy.rename(copy.with_name(f"{copy.name}.partial"))
    Windows.from_store(store, ("state",), 1, 1, **small)
    assert list((tmp_path / "cache").iterdir()) == [copy]
    assert copy.read_bytes() == whole


def test_a_copy_of_images_is_one_of_how_they_are_read(tmp_path):
    """Depth that a policy takes as 0 to 10 m, after a training that measured what there is: other pixels."""
    store = DemoWriter.create(tmp_path / "depth.zarr", attrs=StoreAttrs(obs_keys=("depth",)))
    depth = np.linspace(1, 2, 6 * 8 * 8, dtype=np.float32).reshape(6, 8, 8, 1)
    store.append(Episode({"depth": depth}, np.zeros((6, 1), np.float32)))
    small = {"cache_dir": tmp_path / "cache", "max_resident_bytes": 0}
    known = {"depth": ImageLayout("hwc", 0.0, 10.0, is_depth=True)}
    brightest = []
    for cameras in (None, known, None):
        windows = Windows.from_store(store, ("depth",), 1, 2, cameras=cameras, **small)
        brightest.append(int(windows.batch(torch.arange(len(windows))).obs["depth"].max()))
    assert brightest == [255, 51, 255]


def test_cache_is_decoded_once_and_renewed_with_the_store(store, tmp_path, monkeypatch):
    def load():
        small = {"cache_dir": tmp_path / "cache", "max_resident_bytes": 0}
        windows = Windows.from_store(DemoStore.open(store.path), ("state",), 1, 1, **small)
        return len(windows.arrays()["state"])

    before = load()
    files = sorted((tmp_path / "cache").iterdir())
    written = files[0].stat().st_mtime_ns
    assert load() == before
    assert sorted((tmp_path / "cache").iterdir()) == files
    assert files[0].stat().st_mtime_ns == written
    DemoWriter.append_to(store.path).append(make_episode(5))
    assert load() == before + len(make_episode(5))


def test_float_images_become_uint8(tmp_path):
    """As in the human Push-T recordings."""
    image = np.random.default_rng(0).integers(0, 256, (4, 3, 3, 3)).astype(np.float32)
    store = DemoWriter.create(tmp_path / "x.zarr", attrs=StoreAttrs())
    store.append(Episode(obs={"img": image}, actions=np.zeros((4, 2), np.float32)))
    batch = Windows.from_store(DemoStore.open(store.path), ("img",), 1, 1).batch(torch.arange(4))
    assert batch.obs["img"].dtype == torch.uint8
    np.testing.assert_array_equal(batch.obs["img"][:, 0].numpy(), image)


def test_colors_beyond_every_range_are_refused(tmp_path):
    image = np.zeros((4, 3, 3, 3), np.float32)
    image[2, 1, 1, 1] = 300
    store = DemoWriter.create(tmp_path / "x.zarr", attrs=StoreAttrs())
    store.append(Episode(obs={"img": image}, actions=np.zeros((4, 2), np.float32)))
    with pytest.raises(ValueError, match=r"data/img: 300.0 in episode 0, step 2, dim 13 \(row 2\) is no color"):
        Windows.from_store(DemoStore.open(store.path), ("img",), 1, 1)


def test_longer_chunks_take_memory_per_episode_and_not_per_step():
    """A mask of all windows would take a gigabyte for chunks of 100 in 1e7 steps."""
    obs, actions, ends = recording([40, 30])

    def kept_bytes(horizon):
        kept = vars(Windows(obs, actions, ends, 2, horizon)).values()
        return sum(one.untyped_storage().nbytes() for one in kept if torch.is_tensor(one))

    distinct_masks = 101 * 100 - 2 * 1
    padding = 99 * len(ends) * actions.shape[1] * actions.element_size()
    assert kept_bytes(100) - kept_bytes(1) == padding + distinct_masks


@pytest.mark.parametrize(("steps", "kind"), [(2**31 - 1, np.int32), (2**31, np.int64), (2**32, np.int64)])
def test_rows_are_told_in_32_bits_just_where_all_of_them_can_be(steps, kind):
    episodes = np.array([steps - 1_000, 1_000 - 2 * 18])
    assert narrow_kind(episodes, 18, rows=1) is kind, "with padding"
    assert narrow_kind(np.array([1]), 18, rows=steps) is kind, "in the recording"
