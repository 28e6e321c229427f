"""Push: drawing, modes, success, friction, fence and the scripted expert."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.drivers import TaskEnv, TaskVectorEnv
from envs.push import FENCE, GOALS, PUSHER_RADIUS, RELEASE, SIDE, SPREAD, START, TOLERANCE, Push

FAR = (0.0, 0.3)  # a place for the pusher away from both goals
# Mode -> (first block, its goal), blocks and goals as 0 and 1.
FIRST_ENTRY = {0: (0, 0), 1: (0, 1), 2: (1, 1), 3: (1, 0)}


@pytest.fixture(scope="module")
def task():
    return Push()


def qpos_of(red, blue, pusher=FAR, angles=(0.0, 0.0)):
    return np.array([*pusher, *red, angles[0], *blue, angles[1]])


def judge(task, qpos, memory=None):
    memory = task.initial_state(START[None])[1] if memory is None else memory
    return task.outcome(task.physics_at(qpos[None]), memory)


def carry(*waypoints, per_leg=20):
    """Positions [t, 8] of blocks that are carried along straight lines through the given ones."""
    legs = [np.linspace(a, b, per_leg) for a, b in itertools.pairwise(waypoints)]
    return np.concatenate(legs)


def ways(mode):
    """The start, after the first block, after both: positions [8] of an episode of this mode."""
    block, goal = FIRST_ENTRY[mode]
    start, middle, end = (START.copy() for _ in range(3))
    start[:2] = middle[:2] = end[:2] = FAR
    for qpos, moved in ((middle, (block,)), (end, (0, 1))):
        for b in moved:
            qpos[2 + 3 * b : 4 + 3 * b] = GOALS[goal if b == block else 1 - goal]
    return start, middle, end


def test_the_drawing_is_what_is_judged(task):
    model = task.model
    np.testing.assert_array_equal(model.geom("red").size[:2], SIDE / 2)
    np.testing.assert_array_equal(model.geom("blue").size[:2], SIDE / 2)
    assert model.geom("pusher").size[0] == PUSHER_RADIUS
    for name, center in zip(("left_goal", "right_goal"), GOALS, strict=True):
        np.testing.assert_array_equal(model.geom(name).pos[:2], center)
        # A block that lies in a goal lies on its disc, whatever its angle.
        assert model.geom(name).size[0] == pytest.approx(TOLERANCE + SIDE / np.sqrt(2), abs=1e-3)
    fence = [np.abs(model.geom(name).pos).max() for name in ("left", "right", "bottom", "top")]
    np.testing.assert_array_equal(fence, FENCE)


def test_nothing_touches_at_any_start():
    low, high = START - SPREAD, START + SPREAD
    radius = SIDE / np.sqrt(2)
    assert (low[3] - high[1]) > radius + PUSHER_RADIUS
    assert (low[1] - high[6]) > radius + PUSHER_RADIUS
    assert max(high[3], -low[6]) + radius < FENCE


def test_the_observation_names_everything(task):
    qpos = qpos_of((0.1, 0.2), (-0.1, -0.2), pusher=(0.3, -0.3), angles=(0.5, -2.0))
    seen = task.observe(task.physics_at(qpos[None]), np.zeros((1, 5)))["state"]
    expected = [0.3, -0.3, 0.1, 0.2, np.cos(0.5), np.sin(0.5), -0.1, -0.2, np.cos(2.0), -np.sin(2.0)]
    np.testing.assert_allclose(seen, [expected])


@pytest.mark.parametrize("mode", range(4))
def test_every_mode_is_decoded(task, mode):
    start, middle, end = ways(mode)
    _, memory = task.initial_state(START[None])
    assert judge(task, start, memory).mode.item() == -1
    for qpos, success, score in ((middle, False, 0.5), (end, True, 1.0)):
        memory = task.update(memory, task.physics_at(carry(start, qpos))[None, None])[:, -1]
        outcome = judge(task, qpos, memory)
        assert (outcome.mode.item(), outcome.success.item(), outcome.failure.item()) == (mode, success, False)
        assert outcome.score.item() == pytest.approx(score, abs=0.25 * (not success))
        start = qpos


@settings(max_examples=20)
@given(mode=st.integers(0, 3), sizes=st.lists(st.integers(1, 6), min_size=1, max_size=10))
def test_the_first_entry_counts_however_steps_are_grouped(task, mode, sizes):
    """The blocks are put down, taken out again and exchanged; the other mode's entries change nothing."""
    exchanged = ways({0: 1, 1: 0, 2: 3, 3: 2}[mode])
    path = carry(*ways(mode), START, *exchanged[1:], per_leg=20)
    states = task.physics_at(path.reshape(1, -1, 5, 8))
    _, memory = task.initial_state(START[None])
    whole = task.update(memory, states)
    assert np.isnan(whole[0, 0, 0])
    assert whole[0, -1, 0] == mode
    done = 0
    for size in sizes * (states.shape[1] // sum(sizes) + 1):
        part = task.update(memory, states[:, done : done + size])
        np.testing.assert_array_equal(part, whole[:, done : done + size])
        done += part.shape[1]
        if done == states.shape[1]:
            break
        memory = part[:, -1]
    assert done == states.shape[1]


def test_an_entry_in_any_substep_counts(task):
    """In and out of a goal within one control step."""
    through = carry(qpos_of((-0.22, 0.2), (0, -0.18)), qpos_of((-0.22, -0.2), (0, -0.18)))
    _, memory = task.initial_state(START[None])
    assert task.update(memory, task.physics_at(through)[None, None])[0, -1, 0] == 0


@pytest.mark.parametrize(
    ("red", "blue", "pusher", "success"),
    [
        (GOALS[0], GOALS[1], FAR, True),
        (GOALS[1], GOALS[0], FAR, True),
        (GOALS[0], GOALS[0] + [0.04, 0.0], FAR, False),  # in the same goal
        (GOALS[0] + [0.0, 0.99 * TOLERANCE], GOALS[1], FAR, True),
        (GOALS[0] + [0.0, 1.01 * TOLERANCE], GOALS[1], FAR, False),
        (GOALS[0], GOALS[1], GOALS[0] + [0.99 * RELEASE, 0.0], False),  # not yet let go
        (GOALS[0], GOALS[1], GOALS[1] - [0.99 * RELEASE, 0.0], False),
        (GOALS[0], GOALS[1], GOALS[0] + [1.01 * RELEASE, 0.0], True),
    ],
)
def test_success_is_both_blocks_in_different_goals_and_let_go(task, red, blue, pusher, success):
    assert judge(task, qpos_of(red, blue, pusher)).success.item() is success


def test_the_score_rises_from_0_to_1_along_every_way(task):
    for mode in range(4):
        start, middle, end = ways(mode)
        scores = [judge(task, qpos).score.item() for qpos in carry(start, middle, end)]
        assert scores[0] == 0.0
        assert scores[-1] == 1.0
        assert (np.diff(scores) >= 0.0).all()


def push_along(task, angle, num_steps=40):
    """Where a push in direction `angle`, 1 cm off the middle of a block, brings the block, seen along the push."""
    cos, sin = np.cos(angle), np.sin(angle)
    turn = np.array([[cos, -sin], [sin, cos]])
    env = TaskVectorEnv(1, task, num_threads=0)
    env.reset(seed=0)
    state = env.get_state()
    begin = turn @ [-0.07, 0.01]
    state.physics[:] = task.physics_at(qpos_of((0.0, 0.0), 0.25 * turn @ [-1.0, 1.0], begin, (angle, angle))[None])
    env.set_state(state)
    for k in range(num_steps):
        env.step((begin + 0.004 * (k + 1) * turn[:, 0])[None])
    qpos = task.qpos(env.get_state().physics)[0]
    return np.array([*(turn.T @ qpos[2:4]), qpos[4] - angle])


def uneven(angles, task):
    """Greatest difference [m, rad] between pushes in different directions."""
    return np.ptp([push_along(task, angle) for angle in angles], axis=0).max()


def test_friction_is_alike_in_every_direction():
    angles = (0.0, 0.3, 0.8, 2.0)
    assert uneven(angles, Push()) < 1e-3
    mutant = Push()  # dry friction of the slides, of the same strength at this speed, favors their axes
    slides = np.flatnonzero(mutant.model.dof_damping == 10.0)
    mutant.model.dof_damping[slides] = 0.1
    mutant.model.dof_frictionloss[slides] = 0.8
    assert uneven(angles, mutant) > 5e-3


def test_a_block_that_is_let_go_stands_still(task):
    env = TaskEnv(task)
    env.reset(seed=0, options={"start": START})
    for y in np.arange(0.0, 0.16, 0.01):
        env.step(np.array([0.0, y]))
    moved = env.get_state().physics[0, 4]
    for _ in range(2):
        obs, *_ = env.step(np.array([0.0, 0.0]))
    rest = obs["state"]
    for _ in range(40):
        obs, *_ = env.step(np.array([0.0, -0.05]))
    assert moved > 0.2
    np.testing.assert_allclose(obs["state"][2:], rest[2:], atol=1e-4)


def test_the_fence_holds_a_block_that_is_pressed_against_it(task):
    """Toward every side and corner, the pusher's target beyond the block: the block gives way by millimeters."""
    angles = np.linspace(0.0, 2 * np.pi, 16, endpoint=False)
    way = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    env = TaskVectorEnv(len(way), Push(), num_threads=0)
    env.reset(seed=0)
    state = env.get_state()
    qpos = [qpos_of((0.0, 0.0), -0.25 * w, -0.09 * w, (a / 3, 0.0)) for w, a in zip(way, angles, strict=True)]
    state.physics[:] = task.physics_at(np.array(qpos))
    env.set_state(state)
    for k in range(80):
        obs, *_ = env.step(np.clip((0.01 * k - 0.09) * way, -0.38, 0.38))
    x, y, cos, sin = obs["state"][:, 2:6].T
    reach = SIDE / 2 * (np.abs(cos) + np.abs(sin))
    assert (np.maximum(np.abs(x), np.abs(y)) > 0.2).all()
    assert (np.maximum(np.abs(x), np.abs(y)) + reach < FENCE + 0.01).all()


@pytest.fixture(scope="module")
def demonstrations():
    env = TaskVectorEnv(100, Push(), num_threads=0)
    env.reset(seed=0)
    plan = env.get_state().plan
    ended, noises = np.zeros(100, bool), []
    while not ended.all():
        label, executed = env.expert_action()
        noises.append((executed - label)[~ended])
        *_, terminated, truncated, info = env.step(executed)
        ended = terminated | truncated
    return plan, info, np.concatenate(noises), env.get_state()


def test_the_expert_does_what_it_planned(demonstrations):
    plan, info, _, state = demonstrations
    asked = 2 * plan[:, 0] + plan[:, 1]
    for mode in range(4):
        assert (info["success"] & (info["mode"] == mode))[asked == mode].mean() >= 0.98
    assert 120 <= state.num_steps.mean() <= 200


def test_the_expert_uses_all_modes_alike(demonstrations):
    """Pearson's chi-square on 4 modes: 3 degrees of freedom, 16.3 is passed once in 1,000 seeds."""
    counts = np.bincount(demonstrations[1]["mode"], minlength=4)
    expected = counts.sum() / 4
    assert (np.square(counts - expected) / expected).sum() < 16.3


def test_the_executed_action_has_noise_of_4_mm(demonstrations):
    noise = demonstrations[2]
    np.testing.assert_allclose(noise.std(axis=0), 0.004, rtol=0.05)
    np.testing.assert_allclose(noise.mean(axis=0), 0.0, atol=2e-4)


def test_the_mode_cannot_be_read_from_the_start(task):
    starts, plans = [], []
    for seed in range(400):
        rng = np.random.default_rng(seed)
        starts.append(task.sample_start(rng))
        physics, memory = task.initial_state(starts[-1][None])
        plans.append(task.plan(rng, physics[0], memory[0]))
    correlation = np.corrcoef(np.array(starts).T, np.array(plans).T)[: len(START), len(START) :]
    assert np.abs(correlation).max() < 0.2


def test_the_expert_treats_rows_alone(task):
    rng = np.random.default_rng(0)
    physics = task.physics_at(START + rng.uniform(-0.2, 0.2, (50, 8)))
    plan, memory = rng.integers(2, size=(50, 2)).astype(float), np.full((50, 5), np.nan)
    together = task.expert(physics, memory, plan)
    for i in range(50):
        np.testing.assert_array_equal(task.expert(physics[i : i + 1], memory[:1], plan[i : i + 1])[0], together[i])


def test_the_expert_recovers_from_anywhere():
    """The pusher anywhere around the blocks, the blocks turned and displaced: it still finds behind them."""
    task, rng = Push(), np.random.default_rng(1)
    starts = START + rng.uniform(-1.0, 1.0, (100, 8)) * [0.36, 0.36, 0.15, 0.08, np.pi, 0.15, 0.08, np.pi]
    gap = np.linalg.norm(starts[:, None, :2] - np.stack([starts[:, 2:4], starts[:, 5:7]], axis=1), axis=-1)
    starts = starts[gap.min(axis=1) > SIDE / np.sqrt(2) + PUSHER_RADIUS][:50]
    env = TaskVectorEnv(50, task, num_threads=0)
    env.reset(seed=0)
    state = env.get_state()
    state.physics[:], state.memory[:] = task.initial_state(starts)
    env.set_state(state)
    ended = np.zeros(50, bool)
    while not ended.all():
        *_, terminated, truncated, info = env.step(env.expert_action()[1])
        ended = terminated | truncated
    assert info["success"].mean() >= 0.95
