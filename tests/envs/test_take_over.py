"""The expert takes over in the middle of an episode."""

import numpy as np
import pytest

from envs.avoid import BESIDE, ROWS, WALLS, Avoid
from envs.avoid_field import AvoidField
from envs.avoid_pixels import AvoidPixels
from envs.disturbance import UNDISTURBED, Disturbance
from envs.drivers import TaskVectorEnv
from envs.insert import Insert
from envs.push import START, Push
from envs.pusht import PushT

TASKS = (Avoid, AvoidField, AvoidPixels, Insert, Push)


def make(task, num_envs, disturbance=UNDISTURBED):
    return TaskVectorEnv(num_envs, task(disturbance), num_threads=0, num_frames=0)


def finish(env):
    """The expert's executed actions until every episode has ended; the last info."""
    ended, info = np.zeros(env.num_envs, bool), {}
    while not ended.all():
        *_, terminated, truncated, info = env.step(env.expert_action()[1])
        ended = terminated | truncated
    return info


def wander(env, steps, seed=0):
    """Drive with the expert's actions and a random walk beside them."""
    rng = np.random.default_rng(seed)
    aside = np.zeros((env.num_envs, 2))
    for _ in range(steps):
        aside += 2.0 * env.task.expert_noise * rng.standard_normal(aside.shape)
        env.step(env.expert_action()[0] + aside)


def put_rods(env, xy):
    """Put the rods of Avoid at rest at xy [n, 2]."""
    env.reset(seed=0)
    state = env.get_state()
    state.physics[:], _ = env.task.initial_state(xy)
    env.set_state(state)


def clear_places(task, num, seed=0, margin=0.004):
    """Where a policy might have led the rod: anywhere clear, before the finish."""
    xy = np.random.default_rng(seed).uniform([-0.3, -0.3], [0.3, 0.33], (5 * num, 2))
    return xy[task.clearance(xy) > margin][:num]


@pytest.mark.parametrize("task", TASKS)
def test_the_others_are_left_alone(task):
    """Bit for bit, whatever number of environments was taken over beside them."""
    records = []
    every_second = np.arange(16) % 2 == 0
    for mask in (np.zeros(16, bool), every_second):
        env = make(task, 16)
        env.reset(seed=10)
        wander(env, 6)
        env.take_over(mask)
        seen = []
        for _ in range(60):
            label, executed = env.expert_action()
            seen += [label, executed, env.step(executed)[0]["state"]]
        records.append(np.concatenate(seen, axis=1))
    np.testing.assert_array_equal(records[0][~every_second], records[1][~every_second])
    assert not np.array_equal(records[0][every_second], records[1][every_second])


@pytest.mark.parametrize("task", TASKS)
def test_what_it_decides_depends_on_seed_and_step_alone(task):
    plans = []
    for num_envs, first in ((1, 12), (5, 10)):
        env = make(task, num_envs)
        env.reset(seed=first)
        for _ in range(8):
            env.step(env.expert_action()[1])
        env.take_over(np.ones(num_envs, bool))
        plans.append(env.get_state().plan[12 - first])
        state = env.get_state()
        other = make(task, num_envs)
        other.reset(seed=99)
        other.set_state(state)
        for e in (env, other):  # a restored episode is taken over alike
            e.step(e.expert_action()[1])
            e.take_over(np.ones(num_envs, bool))
        np.testing.assert_array_equal(env.get_state().plan, other.get_state().plan)
    np.testing.assert_array_equal(*plans)


def test_other_steps_and_seeds_decide_otherwise():
    env = make(Avoid, 64)
    env.reset(seed=0)
    put_rods(env, np.tile([0.0, -0.25], (64, 1)))
    ends = []
    for _ in range(2):
        state = env.get_state()
        env.take_over(np.ones(64, bool))
        ends.append(env.get_state().plan[:, -1, 0].round(3))
        state.num_steps[:] += 1
        env.set_state(state)
    assert all(len(np.unique(end)) == 4 for end in ends)
    assert 0.3 < (ends[0] == ends[1]).mean() + 0.25 < 0.8


def test_an_ended_episode_is_not_planned_anew():
    env = make(Avoid, 2)
    env.reset(seed=0)
    finish(env)
    before = env.get_state().plan
    env.take_over(np.ones(2, bool))
    np.testing.assert_array_equal(env.get_state().plan, before)


@pytest.mark.parametrize("moved", [0.0, 0.05])
def test_avoid_s_expert_finds_out_of_anywhere(moved):
    """Taking over succeeds where following the path of old does not."""
    shares = []
    for take_over in (True, False):
        env = make(Avoid, 300, Disturbance(moved=moved))
        put_rods(env, clear_places(env.task, 300))
        if take_over:
            env.take_over(np.ones(300, bool))
        shares.append(finish(env)["success"].mean())
    assert shares[0] >= 0.98
    assert shares[1] < 0.95


@pytest.mark.parametrize("moved", [0.0, 0.05, -0.08])
def test_avoid_s_path_from_anywhere_keeps_clear_of_the_cylinders(moved):
    """It never comes nearer than 8 mm, or than the rod is already, and rows that are passed are left."""
    task, rng = Avoid(Disturbance(moved=moved)), np.random.default_rng(1)
    places = clear_places(task, 600, margin=0.0, seed=2)
    memory = task.initial_state(places)[1]
    for xy, remembered in zip(places, memory, strict=True):
        plan = task.plan(rng, task.physics_at(xy), remembered)
        way = np.concatenate([xy[None] + np.linspace(0, 1, 20)[:, None] * (plan[0] - xy), plan])
        assert task.clearance(way).min() > min(0.008, 0.9 * task.clearance(xy))
        passed = ROWS[xy[1] >= ROWS]
        assert (plan[:, 1, None] > passed - 1e-9).all()
        assert plan[-1, 1] > WALLS[1, 1] - 0.02


def test_a_rod_among_the_cylinders_stays_in_its_gap():
    task = Avoid()
    for x, y in ((-0.16, ROWS[1] - 0.02), (0.01, ROWS[1] - 0.01), (0.22, ROWS[2] - 0.03)):
        for seed in range(10):
            physics, memory = task.initial_state(np.array([[x, y]]))
            plan = task.plan(np.random.default_rng(seed), physics[0], memory[0])
            row = int((y > ROWS - BESIDE).sum()) - 1
            crossing = plan[(plan[:, 1] >= ROWS[row]).argmax(), 0]
            assert abs(crossing - x) < 0.02
            assert plan[:, 1].min() > y - 0.005


def test_push_goes_on_with_what_was_begun():
    """The assignment and the block that are further on their way; a block in a goal stays there."""
    task, plans = Push(), []
    _, memory = task.initial_state(START[None])
    for red, blue in (((-0.1, 0.1), (0.0, -0.18)), ((0.22, 0.01), (-0.02, -0.18)), ((0.0, 0.18), (-0.2, -0.02))):
        qpos = START.copy()
        qpos[[2, 3]], qpos[[5, 6]] = red, blue
        plans.append([task.plan(np.random.default_rng(s), task.physics_at(qpos), memory[0]).tolist() for s in range(8)])
    assert plans == [[[0.0, 0.0]] * 8, [[0.0, 1.0]] * 8, [[1.0, 1.0]] * 8]
    drawn = [task.plan(np.random.default_rng(s), task.physics_at(START), memory[0]).tolist() for s in range(40)]
    assert len({tuple(plan) for plan in drawn}) == 4


def test_insert_goes_on_searching_the_same_way():
    task = Insert()
    physics, memory = task.initial_state(np.zeros((1, 4)))
    drawn = {float(task.plan(np.random.default_rng(s), physics[0], memory[0])[0]) for s in range(20)}
    memory[0, :2] = [0.0, -1.0]
    begun = {float(task.plan(np.random.default_rng(s), physics[0], memory[0])[0]) for s in range(20)}
    assert (drawn, begun) == ({-1.0, 1.0}, {-1.0})


@pytest.mark.parametrize("disturbance", [UNDISTURBED, Disturbance(moved=0.01, mass=2.0, friction=0.7, latency=2)])
@pytest.mark.parametrize("task", [AvoidField, AvoidPixels, Insert, Push])
def test_the_expert_succeeds_after_a_policy_s_wandering(task, disturbance):
    env = make(task, 60, disturbance)
    env.reset(seed=5)
    wander(env, 30, seed=3)
    alive = ~finish_flags(env)
    assert alive.sum() > 20
    env.take_over(np.ones(60, bool))
    assert finish(env)["success"][alive].mean() >= 0.95


def finish_flags(env):
    """Which episodes have ended."""
    still = env.step_chunk(np.zeros((env.num_envs, 1, 2)), np.zeros(env.num_envs, bool))
    return (still.terminated | still.truncated)[:, 0]


def test_messages():
    env = make(Avoid, 2)
    with pytest.raises(ValueError, match=r"Avoid: call reset\(\) before the first step"):
        env.take_over(np.ones(2, bool))
    env.reset(seed=0)
    with pytest.raises(ValueError, match=r"mask is float64\[2\], expected bool\[2\]"):
        env.take_over(np.ones(2))
    other = make(PushT, 1)
    other.reset(seed=0)
    with pytest.raises(ValueError, match="PushT has no scripted expert"):
        other.take_over(np.ones(1, bool))
