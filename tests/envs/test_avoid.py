"""Avoid: geometry, modes, contact and the scripted expert."""

import itertools
import xml.etree.ElementTree as ET

import gymnasium
import numpy as np
import pytest

from envs.avoid import CENTERS, CYLINDERS, FINISH_Y, GAPS, RADII, ROD_RADIUS, ROWS, Avoid, clearance, mode_of
from envs.drivers import TaskVectorEnv
from envs.task import ASSETS


@pytest.fixture(scope="module")
def task():
    return Avoid()


def drive_along(task, xy):
    """Memory after a rod was moved along xy [t, 2], one point per substep, one control step."""
    _, memory = task.initial_state(xy[:1])
    return task.update(memory, task.physics_at(xy)[None, None])[:, -1]


def plan_from(task, rng, start):
    physics, memory = task.initial_state(start[None])
    return task.plan(rng, physics[0], memory[0])


def polyline(*corners, per_leg=200):
    legs = [np.linspace(a, b, per_leg) for a, b in itertools.pairwise(corners)]
    return np.concatenate(legs)


def zigzag(gaps):
    """From the start through one gap per row, upright at every row."""
    corners = [(0.0, -0.28)]
    for row, xs, gap in zip(ROWS, GAPS, gaps, strict=True):
        corners += [(xs[gap], row - 0.03), (xs[gap], row + 0.03)]
    return polyline(*corners, (corners[-1][0], 0.36))


def test_drawn_cylinders_are_the_judged_ones():
    geoms = ET.parse(ASSETS / "avoid.xml").findall("worldbody/geom[@class='cylinder']")
    drawn = [[float(v) for v in geom.get("pos").split()[:2]] for geom in geoms]
    radii = [float(geom.get("size", ".025").split()[0]) for geom in geoms]
    np.testing.assert_array_equal(drawn, CENTERS)
    np.testing.assert_array_equal(radii, RADII)


def test_the_rod_is_as_wide_as_drawn(task):
    assert task.model.geom("rod").size[0] == ROD_RADIUS


@pytest.mark.parametrize("gaps", list(itertools.product(range(2), range(3), range(4))))
def test_every_mode_is_decoded(task, gaps):
    path = zigzag(gaps)
    memory = drive_along(task, path)
    outcome = task.outcome(task.physics_at(path[-1:]), memory)
    assert clearance(path).min() > 0.015
    assert outcome.success.item()
    assert outcome.mode.item() == (gaps[0] * 3 + gaps[1]) * 4 + gaps[2]


def test_all_modes_differ_and_outer_passages_count():
    far = np.array([list(itertools.product((-0.3, 0.3), (-0.3, 0.01, 0.3), (-0.3, -0.02, 0.02, 0.3)))])
    np.testing.assert_array_equal(mode_of(far), np.arange(24)[None])


def test_mode_is_unknown_until_the_last_row(task):
    path = zigzag((1, 2, 0))
    modes = [
        task.outcome(task.physics_at(path[k : k + 1]), drive_along(task, path[: k + 1])).mode.item()
        for k in range(len(path))
    ]
    passed = path[:, 1] >= ROWS[-1]
    np.testing.assert_array_equal(modes, np.where(passed, (1 * 3 + 2) * 4 + 0, -1))


def test_the_first_crossing_counts_across_control_steps(task):
    """Memory gives the same in one control step and in many, and a later crossing changes nothing."""
    path = np.concatenate([zigzag((0, 1, 2)), [[0.0, 0.36], [0.3, 0.36], [0.3, 0.2], [0.3, 0.36]]])
    path = path[: len(path) // 7 * 7 + 1][:1197].reshape(1, -1, 7, 2)
    states = task.physics_at(path)
    _, memory = task.initial_state(path[:, 0, 0])
    whole = task.update(memory, states)
    for k in range(states.shape[1]):
        memory = task.update(memory, states[:, k : k + 1])[:, 0]
        np.testing.assert_array_equal(memory, whole[:, k])


def test_what_was_crossed_before_a_divergence_is_remembered(task):
    path = zigzag((0, 1, 2))[None, :, None]
    states = task.physics_at(path)
    _, memory = task.initial_state(path[:, 0, 0])
    whole = task.update(memory, states)
    states[:, -1] = np.nan
    np.testing.assert_array_equal(task.update(memory, states)[:, :-1], whole[:, :-1])
    assert not np.isnan(whole[:, -2]).any()


def test_clearance_is_the_signed_distance():
    angle = np.linspace(0.0, 2 * np.pi, 7)
    ring = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    for center, radius in zip(CENTERS, RADII, strict=True):
        for gap in (-0.02, 0.0, 0.015):
            np.testing.assert_allclose(clearance(center + (radius + ROD_RADIUS + gap) * ring), gap, atol=1e-15)


def test_a_contact_in_any_substep_fails(task):
    """In and out of a cylinder within one control step."""
    path = polyline((0.0, -0.18), (0.0, -0.1405), (0.0, -0.139), (0.0, -0.18), per_leg=5)
    graze = path + np.array([0.0, -0.0015])
    assert task.outcome(task.physics_at(path[-1:]), drive_along(task, path)).failure.item()
    assert not task.outcome(task.physics_at(graze[-1:]), drive_along(task, graze)).failure.item()


def test_driving_straight_ahead_fails():
    env = gymnasium.make("envs:robolearn/Avoid-v0")
    env.reset(seed=0)
    for y in np.arange(-0.27, 0.4, 0.01):
        obs, _, terminated, truncated, info = env.step(np.array([0.0, y], np.float32))
        if terminated or truncated:
            break
    assert terminated
    assert info == {"success": False, "score": info["score"], "mode": -1, "unstable": False}
    assert obs["state"][1] == pytest.approx(-0.10 - 0.03 - ROD_RADIUS, abs=0.01)


@pytest.fixture(scope="module")
def demonstrations():
    env = TaskVectorEnv(200, Avoid(), num_threads=0)
    obs, info = env.reset(seed=0)
    ended = np.zeros(200, bool)
    labels, noises = [], []
    while not ended.all():
        label, executed = env.expert_action()
        labels.append(label[~ended])
        noises.append((executed - label)[~ended])
        obs, _, terminated, truncated, info = env.step(executed)
        ended = terminated | truncated
    return obs, info, np.concatenate(noises), env.get_state()


def test_the_expert_succeeds(demonstrations):
    obs, info, _, state = demonstrations
    assert info["success"].mean() >= 0.99
    assert (obs["state"][info["success"], 1] >= np.float32(FINISH_Y)).all()
    assert 75 <= state.num_steps.mean() <= 95


def test_the_expert_uses_all_modes_alike(demonstrations):
    """Pearson's chi-square on 24 modes: 23 degrees of freedom, 49.7 is passed once in 1,000 seeds."""
    _, info, _, _ = demonstrations
    counts = np.bincount(info["mode"], minlength=24)
    expected = counts.sum() / 24
    assert (counts > 0).all()
    assert (np.square(counts - expected) / expected).sum() < 49.7


def test_the_mode_cannot_be_read_from_the_start(task):
    starts, first = [], []
    for seed in range(400):
        rng = np.random.default_rng(seed)
        starts.append(task.sample_start(rng)[0])
        first.append(np.sign(plan_from(task, rng, np.array([starts[-1], -0.28]))[-1, 0]))
    assert abs(np.corrcoef(starts, first)[0, 1]) < 0.15


def test_the_executed_action_has_noise_of_3_mm(demonstrations):
    _, _, noise, _ = demonstrations
    np.testing.assert_allclose(noise.std(axis=0), 0.003, rtol=0.05)
    np.testing.assert_allclose(noise.mean(axis=0), 0.0, atol=2e-4)


def test_the_label_recovers(task):
    """Pushed 1 cm off its path, the rod is sent back to the path, whatever the clock says."""
    rng = np.random.default_rng(3)
    start = task.sample_start(rng)
    plan = plan_from(task, rng, start)
    for k in range(0, 480, 40):
        normal = np.array([-1.0, 1.0]) * (plan[k + 1] - plan[k])[::-1]
        pushed = plan[k] + 0.01 * normal / np.linalg.norm(normal)
        label = task.expert(task.physics_at(pushed[None]), np.zeros((1, 4)), plan[None])[0]
        assert np.linalg.norm(plan - label, axis=1).min() == 0.0
        assert 0.005 < np.linalg.norm(label - plan[k]) < 0.025


def test_every_planned_path_is_clear(task):
    rng = np.random.default_rng(0)
    paths = np.stack([plan_from(task, rng, task.sample_start(rng)) for _ in range(300)])
    assert clearance(paths).min() > 0.015
    assert sum(len(xs) for xs in CYLINDERS) == len(CENTERS)


def test_the_mirror_is_a_symmetry():
    """Mirrored start and actions give the mirrored path and the mirrored mode."""
    env = gymnasium.make("envs:robolearn/Avoid-v0")
    maps = env.unwrapped.facts.symmetry["maps"]
    state, action = (np.array(maps[key]["matrix"]) for key in ("state", "action"))
    targets = np.random.default_rng(0).uniform([-0.2, -0.3], [0.2, 0.1], (20, 2)).astype(np.float32)
    paths = []
    for sign in (1.0, -1.0):
        env.reset(seed=0, options={"start": np.array([sign * 0.013, -0.28])})
        turn = action if sign < 0 else np.eye(2)
        paths.append([env.step((turn @ target).astype(np.float32))[0]["state"] for target in targets])
    np.testing.assert_allclose(paths[0] @ state.T, paths[1], atol=1e-5)
    env.close()
