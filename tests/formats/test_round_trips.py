"""Out by every writer and in again: nothing is lost that the format can hold, whatever keys, shapes and types."""

from itertools import combinations_with_replacement

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from robolearn.data.attrs import StoreAttrs
from robolearn.data.store import DemoStore
from robolearn.data.writer import DemoWriter
from robolearn.formats.format import ExportOptions, ImportOptions
from robolearn.formats.registry import FORMATS, recognize
from robolearn.formats.transfer import export_demos, import_demos
from robolearn.types import Episode

ANY_RATE = ("robomimic", "act", "minari", "diffusion_policy")  # the others need one; lerobot/test_write.py tries those
WRITERS = (*ANY_RATE, "lerobot")
EXACT = ExportOptions(images="exact")  # only LeRobot has the choice
TYPES = ("float32", "float64", "uint8", "int64", "bool", "uint16", "int16", "float16")
NAMES = st.text("abcxyz_.é -", min_size=1, max_size=8).filter(lambda s: s.strip(" .") == s and "__" not in s)


@st.composite
def recordings(draw):
    """Observed keys and control_dt, and what `episodes_of` takes: keys, shapes, lengths and types at random."""
    keys = draw(st.lists(NAMES, min_size=1, max_size=4, unique=True))
    keys = [key for key in keys if key not in ("action", "reward")] or ["state"]
    shapes = {keys[0]: (draw(st.integers(1, 5)),)}
    shapes |= {key: draw(st.sampled_from([(1,), (4,), (2, 3), (9, 10, 3), (8, 9, 1)])) for key in keys[1:]}
    types = {key: np.dtype(draw(st.sampled_from(TYPES))) for key in keys}
    types |= {key: np.dtype(np.uint8) for key, shape in shapes.items() if shape[-1] == 3 and len(shape) == 3}
    kind, width = np.dtype(draw(st.sampled_from(("float32", "float64")))), draw(st.integers(1, 4))
    names = draw(st.lists(NAMES.filter(lambda n: n not in ("task", "done")), max_size=2, unique=True))
    steps = draw(st.lists(st.integers(1, 6), min_size=1, max_size=4))
    observed = tuple(sorted(keys[: draw(st.integers(1, len(keys)))]))
    return (observed, draw(st.sampled_from([None, 0.1]))), shapes, types, (width, kind), names, steps


def episodes_of(shapes, types, action, names, lengths):
    rng = np.random.default_rng(0)
    for steps in lengths:
        obs = {key: rng.integers(0, 99, (steps, *shape)).astype(types[key]) for key, shape in shapes.items()}
        actions = rng.normal(size=(steps, action[0])).astype(action[1])
        yield Episode(obs, actions, {name: rng.integers(9).item() for name in names})


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(recordings())
@pytest.mark.parametrize("kind", ANY_RATE)
def test_whatever_a_format_holds_comes_back(tmp_path_factory, equal, kind, recording):
    folder, (attrs, *episodes) = tmp_path_factory.mktemp("any"), recording
    stated = StoreAttrs(obs_keys=attrs[0], control_dt=attrs[1])
    DemoWriter.create(folder / "one.zarr", attrs=stated).extend(list(episodes_of(*episodes)))
    export_demos(folder / "one.zarr", folder / "out", kind)
    import_demos(folder / "out", folder / "two.zarr", kind)
    equal(folder / "one.zarr", folder / "two.zarr")


@pytest.mark.parametrize(("first", "second"), [*combinations_with_replacement(WRITERS, 2)])
def test_from_format_to_format(tmp_path, ranged_store, equal, first, second):
    """There and back, so that a pair need not be tried the other way around."""
    store = ranged_store
    for i, kind in enumerate((first, second, first)):
        export_demos(store, tmp_path / f"out{i}", kind, EXACT)
        assert recognize(tmp_path / f"out{i}") == kind
        store = tmp_path / f"in{i}.zarr"
        import_demos(tmp_path / f"out{i}", store)
    equal(ranged_store, store)


@pytest.mark.parametrize("kind", WRITERS)
def test_what_was_asked_for_is_written_and_read(tmp_path, rich_store, kind):
    asked = ExportOptions(fps=10.0, task="lift it", episodes=2, images="exact")
    done = export_demos(rich_store, tmp_path / "out", kind, asked)
    assert (done.num_episodes, done.num_steps) == (2, 12)
    options = ImportOptions(cameras=("top",), image_size=(6, 8))
    assert import_demos(tmp_path / "out", tmp_path / "in.zarr", options=options).num_steps == 12
    store = DemoStore.open(tmp_path / "in.zarr")
    assert store.attrs.tasks == ("lift it",)
    assert store.attrs.control_dt == pytest.approx(0.1)
    assert store.attrs.splits == {"train": (0,), "valid": (1,)}
    assert store.episode_attrs["task"].tolist() == [0, 0]
    assert store.shapes["top"] == (6, 8, 3)
    import_demos(tmp_path / "out", tmp_path / "blind.zarr", options=ImportOptions(cameras=("none",), episodes=1))
    blind = DemoStore.open(tmp_path / "blind.zarr")
    assert "top" not in blind.keys
    assert blind.attrs.obs_keys == ("state",)
    assert blind.attrs.splits == {"train": (0,)}


def test_every_writer_is_tried():
    own = {name for name, entry in FORMATS.items() if entry.write is not None}
    assert own == set(WRITERS)


def written(folder, obs, attrs, **stated):
    """A store of two episodes of six steps."""
    rng, path = np.random.default_rng(0), folder / "one.zarr"
    shaped = {key: rng.integers(0, 99, (6, *shape)).astype(kind) for key, (shape, kind) in obs.items()}
    episode = Episode(shaped, rng.normal(size=(6, 2)), attrs)
    DemoWriter.create(path, attrs=StoreAttrs(control_dt=0.1, **stated)).extend([episode, episode])
    return path


CLASHING = {
    "images": ((3,), "float32"),
    "qpos": ((2, 3), "float32"),
    "qpos_": ((1,), "float32"),
    "qvel": ((9, 10, 3), "uint8"),
    "state": ((4,), "float32"),
}


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("keys", [("state", "images", "qvel"), ("state", "qpos", "qpos_"), ("images", "qvel")])
def test_keys_that_a_format_has_other_uses_for_come_back(tmp_path, equal, kind, keys):
    store = written(tmp_path, {key: CLASHING[key] for key in keys}, {})
    export_demos(store, tmp_path / "out", kind, EXACT)
    import_demos(tmp_path / "out", tmp_path / "two.zarr", kind)
    equal(store, tmp_path / "two.zarr", attrs=False)


@pytest.mark.parametrize("kind", WRITERS)
def test_a_reward_of_any_shape_comes_back(tmp_path, kind):
    """One number per step is a reward, with an axis of its own or without; several are a key like others."""
    for shape in ((), (1,), (2,)):
        folder = tmp_path / f"{len(shape)}{sum(shape)}"
        folder.mkdir()
        store = DemoStore.open(written(folder, {"state": ((2,), "float32"), "reward": (shape, "float32")}, {}))
        export_demos(store.path, folder / "out", kind, EXACT)
        import_demos(folder / "out", folder / "two.zarr", kind)
        read = DemoStore.open(folder / "two.zarr").read("reward")
        np.testing.assert_array_equal(read, store.read("reward").reshape(read.shape))


@pytest.mark.parametrize("kind", ANY_RATE)
def test_a_reward_may_be_observed(tmp_path, kind):
    obs = {"state": ((2,), "float32"), "reward": ((1,), "float32")}
    store = written(tmp_path, obs, {}, obs_keys=("state", "reward"))
    export_demos(store, tmp_path / "out", kind)
    import_demos(tmp_path / "out", tmp_path / "two.zarr", kind)
    assert DemoStore.open(tmp_path / "two.zarr").attrs.obs_keys == ("state", "reward")


@pytest.mark.parametrize("kind", WRITERS)
def test_numbers_of_episodes_that_are_not_kept_are_named(tmp_path, kind):
    names = ("id", "total_steps", "num_samples", "compress", "lang", "language_instruction", "length", "dataset_id")
    store = written(tmp_path, {"state": ((2,), "float32")}, {**dict.fromkeys(names, 7), "task": 0}, tasks=("go",))
    done = export_demos(store, tmp_path / "out", kind)
    import_demos(tmp_path / "out", tmp_path / "two.zarr", kind)
    kept = DemoStore.open(tmp_path / "two.zarr").episode_attrs
    assert all(kept[name].tolist() == [7, 7] for name in names if name in kept)
    said = {sentence.split()[0] for sentence in done.lost if "the format has its own" in sentence}
    assert said == set(names) - set(kept)
