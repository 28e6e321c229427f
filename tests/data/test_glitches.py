"""A glitch is named; what is rare but right is not."""

import numpy as np
import pytest

from robolearn.data.collect import collect
from robolearn.data.glitches import squeezed
from robolearn.data.store import DemoStore
from robolearn.data.windows import Windows
from robolearn.doctor.examine import examine
from robolearn.formats.transfer import import_demos
from tests.data.test_store import write_diffusion_policy
from tests.doctor.test_account import HUMAN, SHARED

ENDS = np.array([400, 1000])


def lines(rows):
    return [glitch.sentence for glitch in squeezed("state", rows, ENDS)]


@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("many", [1, 3])
def test_a_glitch_is_named(sign, many):
    rows = np.random.default_rng(0).uniform(-1, 1, (1000, 3)).astype(np.float32)
    assert lines(rows) == []
    rows[450 : 450 + many, 1] = sign * 5000
    (line,) = lines(rows)
    assert line.startswith(f"data/state: {sign * 5000} in episode 1, step 50, dim 1 leaves 0.04 % of the range")


@pytest.mark.parametrize("what", ["flag", "bell", "step", "constant", "counter"])
def test_what_is_rare_but_right(what):
    rng = np.random.default_rng(0)
    x = {
        "flag": (np.arange(1000) == 700).astype(float),
        "bell": rng.standard_normal(1000),
        "step": (np.arange(1000) > 995) * 1.0,
        "constant": np.full(1000, 3.0),
        "counter": np.arange(1000.0),
    }[what]
    assert lines(x[:, None]) == []


def test_training_and_inspect_say_it(tmp_path, caplog):
    state = np.random.default_rng(0).uniform(-1, 1, (1000, 2)).astype(np.float32)
    state[450, 1] = 5000
    arrays = {"state": state, "action": state * 0 + state[:, :1], "episode_ends": ENDS}
    store = DemoStore.open(write_diffusion_policy(tmp_path / "x.zarr", 3, **arrays))
    assert "dim 1 leaves 0.04 %" in " ".join(examine(store).warnings)
    Windows.from_store(store, ("state",), 2, 4)
    assert caplog.text.count("is it a glitch?") == 1


def test_human_recordings_have_none(tmp_path):
    if not HUMAN.exists():
        pytest.skip(f"human demonstrations are not at {HUMAN} (set ROBOLEARN_SHARED)")
    import_demos(SHARED / "data" / "adroit_door" / "door-v0_demos.pickle", tmp_path / "door.zarr", "adroit")
    door = DemoStore.open(tmp_path / "door.zarr")
    push = DemoStore.open(HUMAN)
    for store, keys in ((push, ("state", "action", "n_contacts", "keypoint")), (door, ("state", "action", "reward"))):
        for key in keys:
            assert list(squeezed(key, store.read(key), store.episode_ends)) == []


@pytest.mark.parametrize(("task", "episodes"), [("Avoid", 20), ("Push", 10), ("Insert", 10)])
def test_the_shipped_experts_have_none(tmp_path, task, episodes):
    collect(f"envs:robolearn/{task}-v0", episodes, tmp_path / "x.zarr")
    store = DemoStore.open(tmp_path / "x.zarr")
    for key in store.keys:
        assert list(squeezed(key, store.read(key), store.episode_ends)) == []
