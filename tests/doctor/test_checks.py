"""The study in benchmarks/doctor, small: faults that are planted are named, and what is clean is left alone."""

import numpy as np
import pytest

from benchmarks.doctor.faults import FAULTS, is_found, smooth
from robolearn.data.attrs import StoreAttrs
from robolearn.doctor.actions import follows, is_switched
from robolearn.doctor.camera import Camera
from robolearn.doctor.cameras import black_images, frozen_images, layouts, ranges
from robolearn.doctor.dimensions import times_of_day
from robolearn.doctor.duplicates import duplicates
from robolearn.doctor.recording import Recording, columns_of
from robolearn.doctor.registry import check


def reaching(seed, episodes=24):
    """An arm of three joints that follows the positions it is told within two steps."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(50, 80, episodes)
    recording = Recording(np.cumsum(lengths))
    target = smooth(recording, rng, rng.uniform(0.5, 2.0, (episodes, 3)))
    state, speed = np.zeros_like(target), np.zeros_like(target)
    for row in range(1, len(target)):
        if recording.inside[row - 1]:
            state[row] = state[row - 1] + 0.6 * (target[row - 1] - state[row - 1])
            speed[row] = state[row] - state[row - 1]
    rows = np.concatenate([state, speed], axis=1) + 1e-4 * rng.normal(size=(len(state), 6))
    recording.rows = {"state": rows.astype(np.float32), "action": target.astype(np.float32)}
    return recording


@pytest.fixture(scope="module")
def clean():
    return reaching(0)


@pytest.mark.parametrize("seed", range(3))
def test_a_clean_recording_raises_no_alarm(seed):
    recording = reaching(seed)
    recording.columns = [column for key, rows in recording.rows.items() for column in columns_of(key, rows)]
    assert [str(finding) for finding in check(recording) if finding.severity != "note"] == []


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_found(clean, name):
    for seed in range(3):
        planted = FAULTS[name].plant(clean, 0.05, np.random.default_rng(seed))
        assert is_found(FAULTS[name], planted), f"seed {seed}"


def crossing(seed, late, episodes=40):
    """A rod that is led along a curve: the action is a point of it, so far ahead of where the rod is."""
    rng, rows = np.random.default_rng(seed), []
    lengths = rng.integers(45, 60, episodes)
    for length in lengths:
        bend, phase, gain = rng.uniform(0.05, 0.15), rng.uniform(0, 6), rng.uniform(0.2, 0.25)
        at, told, states = np.array([bend * np.sin(phase), 0.0]), [], []
        for _ in range(length):
            states.append(at)
            way = at[1] + 0.06
            told.append(np.array([bend * np.sin(9 * way + phase), way]))
            at = at + gain * (told[-1] - at) + 1e-3 * rng.normal(size=2)
        told = [told[max(step - late, 0)] for step in range(length)]
        rows.append(np.concatenate([states, told], axis=1))
    whole = np.concatenate(rows).astype(np.float32)
    return Recording(np.cumsum(lengths), {"state": whole[:, :2], "action": whole[:, 2:]})


@pytest.mark.parametrize("seed", range(3))
def test_an_action_that_follows_from_the_state_is_not_late(seed):
    """It fits the state of the same step best; where it is recorded late it fits none but earlier ones."""
    findings = {late: [f for f in follows(crossing(seed, late)) if f.check == "lagging actions"] for late in (0, 3)}
    assert findings[0] == []
    assert "comes late: it fits the state of 3 steps before" in str(findings[3])


def test_the_option_that_mends_it_is_named(clean):
    """Also where one is a list."""
    messages = {}
    for name in FAULTS:
        planted = FAULTS[name].plant(clean, 0.05, np.random.default_rng(1))
        messages[name] = " ".join(str(finding) for finding in FAULTS[name].check(planted.recording))
    for name, option in {
        "angle runs on": "`dataset.angles` state:6",
        "quaternion flips": "`dataset.quaternions` state:6",
        "actions equal the state": "`dataset.action_lag` 1",
        "idle beginnings": "`dataset.trim_idle`",
        "copies": "`dataset.drop_episodes` 24",
        "glitch": "`dataset.",
    }.items():
        assert option in messages[name], name


@pytest.mark.parametrize(("looks", "noise"), [("others", 0.0), ("others", 1e-4), ("same", 0.0), ("same", 1e-4)])
def test_an_episode_that_was_done_again_in_another_look_is_no_copy(looks, noise):
    """Its numbers are those of the first, but for noise; what its camera saw tells."""
    rng = np.random.default_rng(0)
    paths = [np.cumsum(rng.normal(size=(30, 3)), 0) for _ in range(12)]
    films = [np.clip(120 + 60 * path[:, :1] / np.ptp(path[:, 0]), 0, 255) for path in paths]
    paths += [path + noise * rng.normal(size=path.shape) for path in paths[:2]]
    films += [film if looks == "same" else 0.7 * film for film in films[:2]]
    rows = np.concatenate(paths)
    recording = Recording(np.arange(30, 30 * len(paths) + 1, 30), {"state": rows, "action": rows[:, :2]})
    images = np.repeat(np.concatenate(films), 8 * 8, axis=1).reshape(-1, 8, 8, 1).astype(np.uint8)
    recording.cameras["top"] = Camera((8, 8, 1), images.dtype, len(images))
    recording.cameras["top"].add(images, 0)
    copies = [finding.episodes for finding in duplicates(recording)]
    assert copies == ([(12, 13)] if looks == "same" else [])


@pytest.mark.parametrize("declared", [None, ("state",)])
def test_rewards_are_not_taken_for_what_is_observed(clean, declared):
    """A sum that runs from 0 to 20 looks like an angle that runs on, and comes with many recordings."""
    runs_on = FAULTS["angle runs on"].plant(clean, 0.05, np.random.default_rng(1)).recording
    angle = runs_on.rows["state"][:, -1:]
    key = "reward" if declared is None else "signal"
    recording = Recording(clean.ends, {**clean.rows, key: angle}, attrs=StoreAttrs(obs_keys=declared))
    assert [str(finding) for finding in check(recording) if finding.severity != "note"] == []
    assert [finding.key for finding in check(Recording(clean.ends, {**clean.rows, "pose": angle}))][:1] == ["pose"]


def test_a_number_in_other_units_is_no_angle(clean):
    planted = FAULTS["angle runs on"].plant(clean, 0.05, np.random.default_rng(0)).recording
    planted.attrs = StoreAttrs(units={"state": "m"})
    assert not [finding for finding in check(planted) if finding.check == "unwrapped angles"]


@pytest.mark.parametrize(
    ("x", "expected"),
    [
        (np.arange(1000) % 100 < 30, True),
        ((np.arange(1000) % 100 < 30) + 0.02 * np.sin(np.arange(1000)), True),
        (np.sin(np.arange(1000) / 9), False),
        (np.linspace(0, 1, 1000), False),
    ],
)
def test_two_values(x, expected):
    assert is_switched(x.astype(float)) is expected


def seen(images):
    """The findings about images of one camera, in two slabs, of two episodes in which the arm moves."""
    camera = Camera(images.shape[1:], images.dtype, len(images))
    half = len(images) // 2
    camera.add(images[:half], 0)
    camera.add(images[half:], half)
    rows = {"state": np.linspace(0, 1, len(images))[:, None]}
    recording = Recording(np.array([half, len(images)]), rows, cameras={"cam": camera})
    return {f.check: f for one in (ranges, black_images, frozen_images, layouts) for f in one(recording)}


PICTURES = np.random.default_rng(0).integers(0, 256, (40, 12, 12, 3)).astype(np.uint8)


def test_good_pictures_are_left_alone():
    assert seen(PICTURES) == {}


def test_pictures_of_no_range_say_why():
    findings = seen((PICTURES > 127).astype(np.uint8))
    assert "floats in [0, 1] that were cast to bytes" in findings["image range"].sentence
    assert "multiply by 255" in findings["image range"].mend


@pytest.mark.parametrize("images", [PICTURES / np.float32(255), np.moveaxis(PICTURES, 3, 1), PICTURES[..., :1] * 0.01])
def test_pictures_that_are_converted_are_a_note(images):
    findings = seen(images)
    assert list(findings) == ["image format"]
    assert "networks see uint8 [12, 12" in findings["image format"].sentence


@pytest.mark.parametrize("value", [0, 255])
def test_black_pictures_are_named_with_their_episode(value):
    images = PICTURES.copy()
    images[25] = value
    assert seen(images)["black images"].episodes == (1,)


def test_pictures_that_stand_still():
    images = PICTURES.copy()
    images[20:] = images[20]
    assert seen(images)["frozen images"].episodes == (1,)


@pytest.mark.parametrize("unit", [1.0, 1e-3, 1e-9])
def test_a_time_since_1970_is_no_observation(clean, unit):
    """In single precision too, in which seconds of today are two minutes apart."""
    count = np.arange(len(clean.episode_of))
    stamps = (1.75e9 + 0.05 * count + 60.0 * clean.episode_of)[:, None] / unit
    for rows in (stamps, stamps.astype(np.float32)):
        attrs = StoreAttrs(obs_keys=("arm", "stamp", "top", "sent"))  # top is a camera
        arrays = {"arm": clean.rows["state"], "stamp": rows, "sent": rows, "action": rows}
        findings = list(times_of_day(Recording(clean.ends, arrays, attrs)))
        assert [(one.severity, one.key, one.dims) for one in findings] == [
            ("warning", "stamp", (0,)),
            ("warning", "sent", (0,)),
        ]
        assert {one.mend for one in findings} == {"`dataset.obs_keys` arm top"}
        joined = np.concatenate([clean.rows["state"], rows], axis=1)
        (finding,) = times_of_day(Recording(clean.ends, {"state": joined}))
        assert (finding.dims, finding.mend) == ((6,), "leave it out of what a policy sees")
        assert not list(times_of_day(Recording(clean.ends, {"state": clean.rows["state"], "stamp": rows})))


def test_what_is_large_and_goes_back_is_no_time(clean):
    encoder = 1.75e9 + 1e4 * clean.rows["state"][:, :1].astype(np.float64)
    assert not list(times_of_day(Recording(clean.ends, {"state": encoder})))
    assert not list(times_of_day(Recording(clean.ends, {"state": np.arange(len(encoder))[:, None] * 0.05})))
