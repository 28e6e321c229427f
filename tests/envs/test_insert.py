"""Insert: contact, force, the touch's history, the straight way and the search."""

from dataclasses import replace

import mujoco
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs import insert
from envs.drivers import TaskEnv, TaskVectorEnv
from envs.insert import BIAS, DEPTH, PRESS, STRAYED, TOUCH, Insert, straight
from robolearn.stats.proportions import wilson

CLEARANCE = 0.001
PHYSICS = mujoco.mjtState.mjSTATE_FULLPHYSICS.value


@pytest.fixture(scope="module")
def task():
    return Insert()


def drive(act, starts=None, seed=0, num_envs=0, max_steps=200, direction=None):
    """Run episodes with act(env) -> actions to their ends: last info, last state and all observations."""
    num_envs = num_envs or len(starts)
    env = TaskVectorEnv(num_envs, Insert(), num_threads=0)
    obs, _ = env.reset(seed=seed, options={"start": starts})
    if direction is not None:
        env.set_state(replace(env.get_state(), plan=np.full((num_envs, 1), direction)))
    seen, info = [obs["state"]], {}
    for _ in range(max_steps):
        obs, _, terminated, truncated, info = env.step(act(env))
        seen.append(obs["state"])
        if (terminated | truncated).all():
            break
    return info, env.get_state(), np.stack(seen, axis=1)


def search(env):
    return env.expert_action()[1]


def trust(env):
    return straight(env.get_state().physics)


def search_one_way(env):
    """The mutant of the expert that never turns round."""
    state = env.get_state()
    memory = state.memory.copy()
    memory[:, 2] = 0.0
    return env.task.expert(state.physics, memory, state.plan)


@pytest.fixture(scope="module")
def demonstrations():
    return drive(search, num_envs=200)


# The MJCF


def test_clearance_and_corners(task):
    geom = task.model.geom
    inner = {side: abs(geom(side).pos[0]) - geom(side).size[0] for side in ("left", "right")}
    peg = geom("peg").size[0]
    np.testing.assert_allclose([inner["left"], inner["right"]], peg + CLEARANCE)
    for side, sign in (("left", -1.0), ("right", 1.0)):
        corner = geom(f"{side}_corner")
        radius = corner.size[0]
        np.testing.assert_allclose(corner.pos, [sign * (peg - radius), 0.0, radius])
        assert geom(side).pos[2] + geom(side).size[2] == 0.0
    assert geom("floor").pos[2] + geom("floor").size[2] < -DEPTH - CLEARANCE


def test_the_force_is_computed_with_the_mjcf_s_numbers(task):
    for name in "xz":
        actuator = task.model.actuator(name)
        assert actuator.gainprm[0] == -actuator.biasprm[1] == insert.STIFFNESS
        np.testing.assert_array_equal(actuator.forcerange, [-insert.MAX_FORCE, insert.MAX_FORCE])
        assert task.model.joint(name).damping[0] == insert.DAMPING


def simulate(task, start, controls, num_steps, each=lambda data: None):
    """MuJoCo itself: the data after each control held for num_steps time steps."""
    data = mujoco.MjData(task.model)
    mujoco.mj_setState(task.model, data, task.initial_state(np.array([start]))[0][0], PHYSICS)
    for control in controls:
        data.ctrl[:] = control(data) if callable(control) else control
        for _ in range(num_steps):
            mujoco.mj_step(task.model, data)
            each(data)
    return data


def test_contacts_stay_shallow_and_the_slot_stays_put(task):
    """Even slammed against everything at full force, the peg sinks in by less than a quarter of the clearance."""
    rng, depth, drift = np.random.default_rng(0), [], []
    for _ in range(6):
        slot = rng.uniform(-0.015, 0.015)
        targets = rng.uniform([-0.02, -0.04], [0.02, 0.04], (30, 2))
        targets[::2] = [slot, -0.04]
        data = simulate(
            task, [0.0, 0.02, slot, 0.0], targets, 100, lambda d: depth.extend(-d.contact.dist[: d.ncon].copy())
        )
        drift.append(abs(data.qpos[2] - slot))
    assert len(depth) > 5_000
    assert max(depth) < CLEARANCE / 4
    assert np.median(depth) < CLEARANCE / 20
    assert max(drift) < 1e-7


@pytest.mark.parametrize("lead", [0.0, 0.0016, -0.0016, 0.003])
def test_the_observed_force_is_the_contact_force(task, lead):
    """At rest and sliding steadily, against the sum of MuJoCo's contact forces."""
    model, forces, wrench = task.model, [], np.zeros(6)

    def record(data):
        measured = np.zeros(3)
        for k in range(data.ncon):
            mujoco.mj_contactForce(model, data, k, wrench)
            measured += data.contact[k].frame.reshape(3, 3).T @ wrench[:3]
        forces.append(measured[[0, 2]])  # on the surface: MuJoCo counts from the sphere to the box

    controls = [lambda data: (data.qpos[0] + lead, -PRESS)] * 20
    data = simulate(task, [0.0, 0.001, 0.02, 0.0], controls, 25, record)
    physics = np.zeros(mujoco.mj_stateSize(model, PHYSICS))
    mujoco.mj_getState(model, data, physics, PHYSICS)
    observed = task.observe(physics, np.zeros(3))["state"][7:9]
    np.testing.assert_allclose(observed, np.mean(forces[-50:], axis=0), atol=0.08)
    np.testing.assert_allclose(np.std(forces[-50:], axis=0), 0.0, atol=0.02)  # it slides and does not chatter
    np.testing.assert_allclose(observed, [0.4 * np.sign(lead), -2.0], atol=0.08)


# Trusting the seen place


def test_trusting_the_seen_place_succeeds_in_29_percent():
    """On an even grid of biases: those within 1.15 mm of the truth, 0.05 more or less by the side it comes from."""
    bias = np.linspace(-BIAS, BIAS, 161)
    starts = np.stack([np.full(161, -0.02), np.full(161, 0.02), np.zeros(161), bias], axis=1)
    info, _, _ = drive(trust, starts=starts, max_steps=40)
    assert info["success"].mean() == pytest.approx(0.29, abs=0.015)
    assert info["success"][np.abs(bias) < 1.05e-3].all()
    assert not info["success"][np.abs(bias) > 1.25e-3].any()
    assert (info["mode"] == -1).all()


def test_the_bias_is_uniform(task):
    """Kolmogorov and Smirnov's distance for 1,000 draws: 0.062 is passed once in 1,000 seeds."""
    starts = np.stack([task.sample_start(np.random.default_rng(seed)) for seed in range(1000)])
    bias = np.sort(starts[:, 3])
    assert np.abs((bias + BIAS) / (2 * BIAS) - (np.arange(1000) + 0.5) / 1000).max() < 0.062
    assert np.abs(np.corrcoef(starts.T) - np.eye(4)).max() < 0.12
    assert ((starts >= task.start_space.low) & (starts <= task.start_space.high)).all()


# Searching


def test_the_expert_succeeds_whichever_way_it_searches_first(demonstrations):
    info, state, _ = demonstrations
    for direction in (-1.0, 1.0):
        success = info["success"][state.plan[:, 0] == direction]
        assert wilson(int(success.sum()), len(success)).low > 0.95
    assert 38 <= state.num_steps.mean() <= 50
    assert state.num_steps.min() >= 17  # a window of 2 observations and 16 actions


def test_the_mode_is_the_direction_that_was_drawn(demonstrations):
    info, state, _ = demonstrations
    searched = info["mode"] >= 0
    assert searched.mean() > 0.5
    np.testing.assert_array_equal(2.0 * info["mode"][searched] - 1.0, state.plan[searched, 0])
    bias = np.abs(state.physics[:, 4] - state.physics[:, 3])
    assert searched[bias > 1.25e-3 + STRAYED].all()
    assert not searched[bias < 0.8e-3].any()


def test_a_search_one_way_only_is_not_enough():
    info, state, _ = drive(search_one_way, num_envs=100, max_steps=80)
    away = (state.physics[:, 4] - state.physics[:, 3]) * state.plan[:, 0]  # how far on the other side the slot lies
    assert info["success"][away < 1.05e-3].all()
    assert not info["success"][away > 1.25e-3].any()
    assert 0.25 < (away > 1.25e-3).mean() < 0.5


@pytest.mark.parametrize("side", [-1.0, 1.0])
def test_the_search_turns_round_at_the_end_of_the_range(side):
    """The slot lies at the other end: the farthest search there is."""
    info, state, seen = drive(search, starts=np.array([[0.0, 0.02, 0.0, side * BIAS]]), direction=side)
    assert info["success"].all()
    assert info["mode"][0] == (side + 1) / 2
    ends = seen[0, :, 10]
    np.testing.assert_array_equal(np.unique(ends), np.unique([0.0, side]))
    assert (np.diff(ends) * side >= 0.0).all()
    assert np.abs(seen[0, :, 4]).min() < BIAS < (-side * seen[0, :, 4]).max() < BIAS + 0.0015
    assert state.num_steps[0] < 100


def test_the_expert_finds_back_from_far_away(task):
    """Wherever a policy has pressed the peg onto the surface, the labels lead into the slot."""
    env = TaskEnv(task)
    for x in (-0.03, 0.03):
        env.reset(seed=0, options={"start": [x, 0.001, 0.0, 0.002]})
        for _ in range(20):
            env.step(np.array([x, -PRESS]))
        info = {"success": False}
        for _ in range(180):
            *_, info = env.step(env.expert_action()[1])
        assert info["success"]
        assert info["mode"] == (0 if x > 0 else 1)


def test_the_true_place_is_not_observed(task):
    """Two slots seen at the same place look alike until the touch tells them apart."""
    seen, slot = 0.002, np.array([0.001, 0.005])
    starts = np.stack([[0.0, 0.0], [0.02, 0.02], slot, seen - slot], axis=1)
    _, _, states = drive(trust, starts=starts, max_steps=40)
    touched = int((states[1, :, 1] < TOUCH).argmax())
    assert touched > 5
    np.testing.assert_allclose(states[0, :touched], states[1, :touched], atol=1e-7)
    assert states[0, -1, 1] < -DEPTH < states[1, -1, 1]


def test_the_observation_determines_the_expert(task, demonstrations):
    """The expert's action, rebuilt from the observation and its first direction alone."""
    _, final, states = demonstrations
    env = TaskVectorEnv(60, task, num_threads=0)
    env.reset(seed=0)
    for k in range(60):
        obs = states[:60, k].astype(float)
        state = env.get_state()
        x, z = obs[:, 0], obs[:, 1]
        physics = np.zeros_like(state.physics)
        physics[:, 1], physics[:, 2], physics[:, 4] = x, z, x + obs[:, 4]
        touched = (obs[:, 9] != 0.0) | (z < TOUCH)
        memory = np.stack([np.where(touched, 0.0, np.nan), obs[:, 9], obs[:, 10]], axis=1)
        label, executed = env.expert_action()
        np.testing.assert_allclose(task.expert(physics, memory, final.plan[:60]), label, atol=1e-6)
        env.step(executed)


def test_score_is_the_depth(task):
    z = np.array([0.02, 0.0, -0.003, -DEPTH, -0.018])
    physics = task.physics_at(np.stack([0 * z, z, 0 * z, 0 * z], axis=1))
    outcome = task.outcome(physics, np.tile([0.0, np.nan, 0.0], (5, 1)))
    np.testing.assert_allclose(outcome.score, [0.0, 0.0, 0.2, 1.0, 1.0])
    np.testing.assert_array_equal(outcome.success, [False, False, False, False, True])
    assert not outcome.failure.any()


# Memory


def remembered(task, path, seen=0.0):
    """Memory [t, 3] after each point of a path [t, 2] of x, z, read one by one."""
    touched, direction, end, result = np.nan, np.nan, 0.0, []
    for x, z in path:
        if abs(z) < TOUCH:
            touched = x if np.isnan(touched) else touched
            if np.isnan(direction) and abs(x - touched) > STRAYED:
                direction = np.sign(x - touched)
            if abs(x - seen) > BIAS:
                end = np.sign(x - seen)
        result.append([touched, direction, end])
    return np.array(result)


@settings(max_examples=60)
@given(data=st.data())
def test_the_memory_is_that_of_reading_the_path_point_by_point(task, data):
    """For any grouping into calls and control steps."""
    points = st.tuples(
        st.sampled_from([-0.006, -0.003, -0.0015, 0.0, 0.0008, 0.003, 0.005]), st.sampled_from([0.0, 0.01])
    )
    substeps, num_steps = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 6))
    path = np.array(data.draw(st.lists(points, min_size=substeps * num_steps, max_size=substeps * num_steps)))
    expected = remembered(task, path)[substeps - 1 :: substeps]
    states = task.physics_at(np.concatenate([path, np.zeros_like(path)], axis=1)).reshape(1, num_steps, substeps, -1)
    _, start = task.initial_state(np.zeros((1, 4)))
    np.testing.assert_array_equal(task.update(start, states)[0], expected)
    cut = data.draw(st.integers(1, num_steps))
    memory = task.update(start, states[:, :cut])
    if cut < num_steps:
        memory = np.concatenate([memory, task.update(memory[:, -1], states[:, cut:])], axis=1)
    np.testing.assert_array_equal(memory[0], expected)


def test_an_explicit_start_fixes_the_bias(task):
    env = TaskEnv(task)
    obs, _ = env.reset(seed=0, options={"start": [0.01, 0.03, -0.004, 0.003]})
    np.testing.assert_allclose(obs["state"][[0, 1, 4]], [0.01, 0.03, -0.011], atol=1e-7)
    np.testing.assert_array_equal(env.get_state().physics[0, 3], -0.004)
