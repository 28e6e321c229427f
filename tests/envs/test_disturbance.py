"""Disturbances: what they change, what they leave, and what is refused."""

import itertools

import gymnasium
import mujoco
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs import avoid, insert, push, pusht
from envs.avoid import CENTERS, RADII, ROD_RADIUS, Avoid
from envs.avoid_field import AvoidField, AvoidFieldPixels
from envs.avoid_pixels import AvoidPixels
from envs.disturbance import UNDISTURBED, Disturbance, disturbance_of
from envs.drivers import TaskEnv, TaskVectorEnv
from envs.insert import Insert
from envs.push import Push
from envs.pusht import PushT
from envs.task import ASSETS

TASKS = (Avoid, AvoidField, AvoidPixels, Insert, Push, PushT)
DISTURBED = {
    "moved": Disturbance(moved=0.01),
    "mass": Disturbance(mass=1.7),
    "friction": Disturbance(friction=0.6),
    "bias": Disturbance(bias=0.004),
    "latency": Disturbance(latency=3),
    "all": Disturbance(moved=-0.008, mass=1.4, friction=0.7, bias=-0.002, latency=2),
}
STEPS = 60


def make(task, disturbance=UNDISTURBED, num_envs=3):
    return TaskVectorEnv(num_envs, task(disturbance), num_threads=0, num_frames=0)


def targets(task, num_envs=3, steps=STEPS):
    """Actions [n, t, a] that move things: the expert's where there is one, else sweeps."""
    if not task.has_expert:
        middle, angle = np.array([256.0, 300.0]), np.linspace(0, [6, 9, 12], steps).T[:num_envs]
        return middle + 150 * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    env, actions = make(task, num_envs=num_envs), []
    env.reset(seed=40)
    for _ in range(steps):
        actions.append(env.expert_action()[1])
        env.step(actions[-1])
    return np.stack(actions, axis=1)


def roll(env, actions, sizes=(1,)):
    """Observations [n, t, ...], flags and physics of the episodes, with steps grouped as in `sizes`, in turn."""
    env.reset(seed=40)
    parts, done = [], 0
    while done < actions.shape[1]:
        size = sizes[len(parts) % len(sizes)]
        parts.append(env.step_chunk(actions[:, done : done + size]))
        done += size
    result = {key: np.concatenate([p.obs[key] for p in parts], axis=1) for key in parts[0].obs}
    result["physics"] = np.concatenate([p.physics for p in parts], axis=1)
    result["ended"] = np.concatenate([p.terminated | p.truncated for p in parts], axis=1)
    result["mode"] = np.concatenate([p.info["mode"] for p in parts], axis=1)
    return result


def assert_equal(one, other):
    assert one.keys() == other.keys()
    for key in one:
        np.testing.assert_array_equal(one[key], other[key])


# The undisturbed task


@pytest.mark.parametrize("task", TASKS)
def test_without_a_disturbance_the_model_is_the_mjcf_s(task):
    """Every number of it, bit for bit."""
    model, drawn = task().model, mujoco.MjModel.from_xml_path(str(ASSETS / task.xml))
    size = mujoco.mj_sizeModel(drawn)
    buffers = np.zeros((2, size), np.uint8)
    for buffer, which in zip(buffers, (model, drawn), strict=True):
        mujoco.mj_saveModel(which, None, buffer)
    np.testing.assert_array_equal(*buffers)


def test_without_a_disturbance_the_geometry_is_the_constants():
    task = Avoid()
    np.testing.assert_array_equal(np.concatenate(task.gaps), np.concatenate(avoid.GAPS))
    np.testing.assert_array_equal(np.concatenate(task.cylinders), np.concatenate(avoid.CYLINDERS))
    np.testing.assert_array_equal(task.obstacles, avoid.OBSTACLES)
    np.testing.assert_array_equal(Push().goals, push.GOALS)
    np.testing.assert_array_equal(PushT().goal_xy, pusht.GOAL_XY)
    assert Insert().model.geom("left").friction[0] == insert.FRICTION


@pytest.mark.parametrize("task", TASKS)
def test_neutral_arguments_change_nothing(task):
    actions = targets(task)
    neutral = gymnasium.make_vec(
        f"envs:robolearn/{task.__name__}-v0",
        num_envs=3,
        num_frames=0,
        moved=0,
        mass=1,
        friction=1,
        bias=0,
        latency=0,
        look=None,
    )
    assert_equal(roll(make(task), actions), roll(neutral, actions))
    neutral.close()


# The drivers


@pytest.mark.parametrize("name", DISTURBED)
@pytest.mark.parametrize("task", [Avoid, AvoidField, Insert, Push, PushT])
def test_plain_and_vector_environments_are_disturbed_alike(task, name):
    actions = targets(task)
    vector = roll(make(task, DISTURBED[name]), actions)
    kwargs = {key: value for key, value in vars(DISTURBED[name]).items() if value != getattr(UNDISTURBED, key)}
    for i in range(3):
        single = gymnasium.make(f"envs:robolearn/{task.__name__}-v0", **kwargs).unwrapped
        single.reset(seed=40 + i)
        for k in range(STEPS):
            obs, *_, info = single.step(actions[i, k])
            for key, value in obs.items():
                np.testing.assert_array_equal(vector[key][i, k], value)
            assert info["mode"] == vector["mode"][i, k]
            if vector["ended"][i, k]:
                break


@pytest.mark.parametrize("name", DISTURBED)
@pytest.mark.parametrize("task", [Avoid, AvoidField, Insert, Push, PushT])
def test_every_disturbance_changes_what_is_seen(task, name):
    actions = targets(task)
    one, other = roll(make(task), actions), roll(make(task, DISTURBED[name]), actions)
    unseen = name == "moved" and task is not Insert  # as the cylinder and goals are not in the observation
    assert np.array_equal(one["state"], other["state"]) == unseen
    physical = name in ("mass", "friction", "all") or (name == "moved" and task is Insert)
    assert np.array_equal(one["physics"], other["physics"]) != physical


@settings(max_examples=10)
@given(sizes=st.lists(st.integers(1, 9), min_size=1, max_size=6), latency=st.integers(0, 5))
@pytest.mark.parametrize("task", [Avoid, Insert])
def test_latency_does_not_mind_the_grouping(task, sizes, latency):
    """And is what its name says: the observation of so many steps ago, the first one until then."""
    actions = targets(task)
    now = roll(make(task), actions)
    late = roll(make(task, Disturbance(latency=latency)), actions, sizes)
    first = make(task).reset(seed=40)[0]["state"]
    seen = np.concatenate([np.repeat(first[:, None], latency, axis=1), now["state"]], axis=1)
    length = np.where(now["ended"].any(axis=1), now["ended"].argmax(axis=1) + 1, STEPS)
    for i in range(3):
        np.testing.assert_array_equal(late["state"][i, : length[i]], seen[i, : length[i]])
    np.testing.assert_array_equal(late["ended"], now["ended"])
    np.testing.assert_array_equal(late["physics"], now["physics"])


@pytest.mark.parametrize("task", [Avoid, AvoidField, Insert, Push])
def test_a_restored_state_continues_exactly_although_it_lags(task):
    env, other = (make(task, DISTURBED["all"]) for _ in range(2))
    actions = targets(task)
    env.reset(seed=40)
    env.step_chunk(actions[:, :11])
    state = env.get_state()
    other.reset(seed=3)
    other.set_state(state)
    still = np.zeros(3, bool)
    np.testing.assert_array_equal(
        *(e.step_chunk(actions[:, :1], still).obs["state"] for e in (env, other)),
    )
    for size in (1, 4, 2):
        one, two = (e.step_chunk(actions[:, 11 : 11 + size]) for e in (env, other))
        np.testing.assert_array_equal(one.obs["state"], two.obs["state"])
        np.testing.assert_array_equal(one.physics, two.physics)
    with pytest.raises(ValueError, match=r"state.past has shape \(3, 2, \d+\), expected \(3, 0, \d+\)"):
        make(task).set_state(state)


@pytest.mark.usefixtures("gl")
def test_an_image_lags_as_the_numbers_do():
    actions = targets(AvoidPixels, 2, 12)
    envs = [TaskVectorEnv(2, AvoidPixels(Disturbance(latency=k)), num_threads=0) for k in (0, 2)]
    now, late = (roll(env, actions, (4,)) for env in envs)
    np.testing.assert_array_equal(late["image"][:, 2:], now["image"][:, :-2])
    assert not np.array_equal(late["image"], now["image"])
    for env in envs:
        env.close()


def test_bias_is_added_to_positions_alone():
    """The amount, key by key; the state behind the observation has none of it."""
    for task, seen in (
        (Avoid, {"state": [0.01] * 2 + [0] * 2}),
        (AvoidField, {"state": [0.01] * 2 + [0] * 2, "field": [0] * 24}),
        (Insert, {"state": [0.01, 0.01, 0, 0, -0.01, -0.01, 0.01, 0, 0, 0, 0]}),
        (Push, {"state": [0.01] * 4 + [0, 0] + [0.01] * 2 + [0, 0]}),
        (PushT, {"state": [10] * 4 + [0], "keypoint": np.full((9, 2), 10)}),
    ):
        one, other = (make(task, d).reset(seed=0)[0] for d in (UNDISTURBED, Disturbance(bias=0.01)))
        for key, expected in seen.items():
            difference = (other[key] - one[key]).astype(float)
            np.testing.assert_allclose(difference, np.broadcast_to(expected, difference.shape), rtol=1e-4, atol=1e-6)


# The tasks


@pytest.mark.parametrize("moved", [-0.07, 0.03])
def test_the_moved_cylinder_is_judged_where_it_is_drawn(moved):
    task = Avoid(Disturbance(moved=moved))
    data = mujoco.MjData(task.model)
    mujoco.mj_kinematics(task.model, data)
    xy = np.random.default_rng(0).uniform([-0.3, -0.3], [0.3, 0.4], (500, 2))
    cylinders = [g for g in range(task.model.ngeom) if task.model.geom_rgba[g, 0] > 0.8 > task.model.geom_rgba[g, 1]]
    assert len(cylinders) == 6
    distance = [np.linalg.norm(xy - data.geom_xpos[g, :2], axis=1) - task.model.geom_size[g, 0] for g in cylinders]
    np.testing.assert_allclose(task.clearance(xy), np.min(distance, axis=0) - ROD_RADIUS, atol=1e-12)
    changed = task.clearance(xy) != avoid.clearance(xy)
    assert 0 < changed.mean() < 0.5
    centers = CENTERS + moved * (np.arange(6) == 4)[:, None] * [1.0, 0.0]
    np.testing.assert_allclose(task.clearance(centers), -RADII - ROD_RADIUS)


def test_driving_where_the_cylinder_was_tells_the_two_tasks_apart():
    """Up through where the cylinder stands fails; the same way is free where it has been moved aside."""
    way = np.array([[0.075, -0.28], [0.075, 0.0], [0.0, 0.0], [0.0, 0.16], [0.02, 0.17], [0.02, 0.39]])
    actions = np.concatenate([np.linspace(a, b, 20) for a, b in itertools.pairwise(way)])[None]
    ends = []
    for moved in (0.0, 0.099, -0.06):
        env = make(Avoid, Disturbance(moved=moved), num_envs=1)
        env.reset(seed=0, options={"start": np.array([[0.075, -0.28]])})
        info = env.step_chunk(actions).info
        ends.append((bool(info["success"][0, -1]), int(info["mode"][0, -1])))
    # Right of row 1, middle of row 2, then left or right of the moved one.
    assert ends == [(False, -1), (True, (3 + 1) * 4 + 1), (True, (3 + 1) * 4 + 2)]


def test_the_moved_goal_is_judged_where_it_is_drawn():
    task = Push(Disturbance(moved=0.05))
    np.testing.assert_array_equal(task.model.geom("right_goal").pos[:2], task.goals[1])
    np.testing.assert_allclose(task.goals - push.GOALS, [[0.0, 0.0], [0.05, 0.0]], atol=1e-12)
    qpos = push.START.copy()
    qpos[[2, 3, 5, 6]] = [-0.22, 0.0, 0.27 + 0.04, 0.0]
    at_new = task.outcome(task.physics_at(qpos[None]), task.initial_state(push.START[None])[1])
    at_old = Push().outcome(task.physics_at(qpos[None]), Push().initial_state(push.START[None])[1])
    assert (at_new.score.item(), at_old.score.item() < 1.0) == (1.0, True)

    other = PushT(Disturbance(moved=0.05))
    np.testing.assert_array_equal(other.model.body("goal").pos[:2], pusht.PX * other.goal_xy)
    pose = np.array([*other.goal_xy, pusht.GOAL_ANGLE])
    start = np.array([[50.0, 50.0, *pose]])
    assert other.outcome(*other.initial_state(start)).success.item()
    assert not PushT().outcome(*PushT().initial_state(start)).success.item()


def test_the_moved_slot_is_seen_to_move():
    start = np.array([[0.0, 0.02, 0.004, 0.003]])
    one, other = (make(Insert, d, num_envs=1) for d in (UNDISTURBED, Disturbance(moved=0.01)))
    obs = [env.reset(seed=0, options={"start": start})[0]["state"][0] for env in (one, other)]
    assert obs[1][4] - obs[0][4] == pytest.approx(0.01, abs=1e-7)
    assert other.get_state().physics[0, 3] == pytest.approx(0.014)


def test_the_mirror_is_no_symmetry_of_a_moved_cylinder_or_a_biased_view():
    assert Avoid(Disturbance(mass=2.0)).symmetry is not None
    assert Avoid(Disturbance(moved=0.01)).symmetry is None
    assert Avoid(Disturbance(bias=0.01)).symmetry is None


def coast(disturbance):
    """How far a block that has been pushed away slides on [m]."""
    env = make(Push, disturbance, num_envs=1)
    env.reset(seed=0, options={"start": push.START[None]})
    state = env.get_state()
    state.physics[0, 1 + env.task.model.nq + 3] = 0.5  # the red block's velocity in y
    env.set_state(state)
    env.step_chunk(np.zeros((1, 40, 2)))
    return env.get_state().physics[0, 4] - 0.18


def test_mass_and_friction_are_factors():
    """A block comes to rest after mass / damping * velocity."""
    base = coast(UNDISTURBED)
    assert coast(Disturbance(mass=2.0)) == pytest.approx(2 * base, rel=0.02)
    assert coast(Disturbance(friction=0.5)) == pytest.approx(2 * base, rel=0.02)
    assert coast(Disturbance(mass=3.0, friction=3.0)) == pytest.approx(base, rel=0.02)


@pytest.mark.parametrize("friction", [0.5, 2.0])
def test_the_insert_expert_leans_as_the_friction_asks(friction, monkeypatch):
    """With twice the friction the lead that was enough would hold the peg where it is."""

    def succeeded():
        env = make(Insert, Disturbance(friction=friction), num_envs=40)
        env.reset(seed=0)
        info = {}
        for _ in range(Insert.max_steps):
            *_, info = env.step(env.expert_action()[1])
        return info["success"].mean()

    assert succeeded() >= 0.97
    if friction == 2.0:
        monkeypatch.setattr(insert, "FRICTION", 0.0)
        assert succeeded() < 0.8


@pytest.mark.parametrize("moved", [-0.09, -0.05, 0.03, 0.05, 0.09])
def test_the_expert_walks_around_the_moved_cylinder(moved):
    task = Avoid(Disturbance(moved=moved))
    rng, paths = np.random.default_rng(0), []
    for _ in range(100):
        physics, memory = task.initial_state(task.sample_start(rng)[None])
        paths.append(task.plan(rng, physics[0], memory[0]))
    assert task.clearance(np.stack(paths)).min() > 0.010
    assert (task.gaps[2].size == 4) == (abs(moved) < 0.055)


# Refusals


def test_numbers_of_numpy_are_numbers():
    kwargs = {"moved": np.float32(0.5), "mass": np.int64(2), "latency": np.int64(3)}
    assert disturbance_of(kwargs) == Disturbance(moved=0.5, mass=2, latency=3)


@pytest.mark.parametrize(
    ("task", "kwargs", "message"),
    [
        ("Avoid", {"mass": 0.0}, "mass=0.0 is a factor and must be above 0"),
        ("Push", {"friction": -1}, "friction=-1 is a factor and must be above 0"),
        ("Insert", {"latency": -1}, "latency=-1 must be a whole number of control steps, 0 or more"),
        ("Insert", {"latency": 1.5}, "latency=1.5 must be a whole number"),
        ("Avoid", {"bias": float("nan")}, "bias=nan is not a finite number"),
        ("Avoid", {"moved": "far"}, "moved='far' is not a finite number"),
        ("Avoid", {"mass": True}, "mass=True is not a finite number"),
        ("Push", {"look": "sunny"}, "look='sunny' is unknown; choose from real, random"),
        ("AvoidPixels", {"look": ["real"]}, r"look=\['real'\] is unknown; choose from real, random"),
        ("Avoid", {"moved": 0.1}, r"Avoid: moved=0.1 is not between -0.1 and 0.1 m"),
        ("AvoidPixels", {"moved": -0.2}, r"AvoidPixels: moved=-0.2 is not between -0.1 and 0.1 m"),
        ("Push", {"moved": 0.07}, r"Push: moved=0.07 is not between -0.1 and 0.06 m"),
        ("AvoidField", {"moved": 0.1}, r"AvoidField: moved=0.1 is not between -0.1 and 0.1 m"),
        ("AvoidField", {"field": "denser"}, "field='denser' is unknown; choose from usual, dense, thick"),
        ("AvoidField", {"field": ["dense"]}, r"field=\['dense'\] is unknown; choose from usual, dense, thick"),
        ("AvoidField", {"field": None}, "field=None is unknown; choose from usual, dense, thick"),
        ("PushT", {"friction": 1.2}, "PushT: friction=1.2 is above mass=1.0"),
    ],
)
def test_messages(task, kwargs, message):
    for create in (gymnasium.make, lambda *a, **k: gymnasium.make_vec(*a, num_envs=2, **k)):
        with pytest.raises(ValueError, match=message) as error:
            create(f"envs:robolearn/{task}-v0", **kwargs)
        assert "\n" not in str(error.value)


def test_an_unknown_argument_is_named_with_the_valid_ones():
    with pytest.raises(
        TypeError, match="unknown argument 'weight'; a task is disturbed by moved, mass, friction, bias"
    ):
        gymnasium.make_vec("envs:robolearn/Avoid-v0", num_envs=1, weight=2.0)
    with pytest.raises(TypeError, match=r"unknown argument 'field'; a task is disturbed by .*latency, look was raised"):
        gymnasium.make("envs:robolearn/Avoid-v0", field="dense")
    with pytest.raises(TypeError, match=r"unknown argument 'density'; .*latency, look; this one also takes field was"):
        gymnasium.make("envs:robolearn/AvoidField-v0", density="dense")


# Clearance


def test_clearance_is_found_on_both_drivers_where_there_is_a_keep_out_set():
    single = gymnasium.make("envs:robolearn/Avoid-v0", moved=0.03).unwrapped
    vector = gymnasium.make_vec("envs:robolearn/Avoid-v0", num_envs=2, moved=0.03)
    xy = np.array([[[0.03, 0.26], [0.0, -0.28]]])
    for env in (single, vector):
        distance = env.facts.clearance(xy)
        assert distance.shape == (1, 2)
        np.testing.assert_allclose(distance, [[-0.035, 0.14]])
    for task in (AvoidField, AvoidFieldPixels, AvoidPixels, Insert, Push, PushT):
        assert TaskVectorEnv(1, task(), num_frames=0).facts.clearance is None
        assert TaskEnv(task()).facts.clearance is None
    vector.close()
