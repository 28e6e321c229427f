"""The drivers: an episode depends on its seed alone; exact restore; isolation."""

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.avoid import Avoid
from envs.avoid_field import AvoidField
from envs.drivers import TaskEnv, TaskVectorEnv
from envs.insert import Insert
from envs.push import Push
from envs.records import EnvState

ENV_ID = "envs:robolearn/Avoid-v0"
NUM_EPISODES = 16


def avoid_walks():
    """Sixteen random walks ahead, of all speeds: they hit a cylinder, reach the finish or run out of time."""
    rng = np.random.default_rng(1)
    speed = np.linspace(0.012, 0.0, NUM_EPISODES)[:, None, None] * [0.0, 1.0]
    walk = np.cumsum(speed + rng.normal(0.0, [0.008, 0.002], (NUM_EPISODES, Avoid.max_steps + 2, 2)), axis=1)
    return np.clip(walk + np.array([0.0, -0.28]), -0.32, 0.40)


def insert_walks():
    """Sixteen random walks, from over the slot to ever further away, then pressing down: in early, late or never."""
    env = TaskVectorEnv(NUM_EPISODES, Insert(), num_threads=0)
    env.reset(seed=100)
    rng = np.random.default_rng(1)
    away = np.linspace(0.0, 0.004, NUM_EPISODES)[:, None]
    steps = rng.normal(0.0, 0.0005, (NUM_EPISODES, Insert.max_steps + 2))
    steps[:, :12] = 0.0
    x = env.get_state().physics[:, 3, None] + away + np.cumsum(steps, axis=1)
    z = rng.uniform(-0.02, -0.012, x.shape)
    z[:, :12] = 0.01
    return np.stack([x, z], axis=-1)


class ShortPush(Push):
    """Short enough to be run out of time in a test."""

    max_steps = 150


def push_walks():
    """The expert's actions, of which some are in time; the last four sweep blocks into each other and the fence."""
    horizon = ShortPush.max_steps + 2
    env = TaskVectorEnv(NUM_EPISODES, ShortPush(), num_threads=0)
    env.reset(seed=100)
    actions = []
    for _ in range(horizon):
        actions.append(env.expert_action()[1])
        env.step(actions[-1])
    actions = np.stack(actions, axis=1)
    angle = np.linspace(0.0, [5.0, 9.0, 14.0, 20.0], horizon).T
    reach = np.linspace(0.05, 0.36, horizon)
    actions[-4:] = np.stack([reach * np.cos(angle), reach * np.sin(angle)], axis=-1)
    return actions


WALKS = {Avoid: avoid_walks, AvoidField: avoid_walks, Insert: insert_walks, ShortPush: push_walks}


@pytest.fixture(scope="module", params=list(WALKS), ids=lambda task: task.__name__)
def make_task(request):
    return request.param


@pytest.fixture(scope="module")
def actions(make_task):
    """Actions [NUM_EPISODES, t, 2] for the seeds from 100 on, longer than any episode."""
    return WALKS[make_task]()


@pytest.fixture(scope="module")
def singles(make_task, actions):
    """The reference: each episode alone in a plain environment, until its end."""
    env = TaskEnv(make_task())
    episodes = []
    for i in range(NUM_EPISODES):
        obs, _ = env.reset(seed=100 + i)
        steps, ended = [(obs["state"], 0.0, False, False, {})], False
        while not ended:
            obs, reward, terminated, truncated, info = env.step(actions[i, len(steps) - 1])
            ended = terminated or truncated
            steps.append((obs["state"], reward, terminated, truncated, info))
        episodes.append(steps)
    return episodes


def assert_same_episode(steps, obs, rewards, terminated, truncated, info):
    """The arrays [t, ...] of a vector environment against a single one's steps, bit for bit."""
    assert len(obs) == len(steps) - 1
    for k, (state, reward, end, late, single_info) in enumerate(steps[1:]):
        np.testing.assert_array_equal(obs[k], state)
        assert (rewards[k], terminated[k], truncated[k]) == (reward, end, late)
        assert {key: value[k] for key, value in info.items()} == single_info


def test_the_reference_has_early_late_and_truncated_ends(make_task, singles):
    lengths = sorted(len(steps) - 1 for steps in singles)
    assert lengths[0] < 0.9 * make_task.max_steps
    assert len(set(lengths)) > 5
    assert any(steps[-1][3] for steps in singles)
    assert any(steps[-1][4]["success"] for steps in singles)
    if make_task in (Avoid, AvoidField):
        assert any(steps[-1][2] and not steps[-1][4]["success"] for steps in singles)


@pytest.mark.parametrize("num_envs", [1, 3, 16])
@pytest.mark.parametrize("chunk", [1, 4, 8])
def test_vector_and_single_agree_bit_for_bit(make_task, actions, singles, num_envs, chunk):
    env = TaskVectorEnv(num_envs, make_task(), num_threads=2)
    obs, _ = env.reset(seed=100)
    np.testing.assert_array_equal(obs["state"], [steps[0][0] for steps in singles[:num_envs]])
    parts = []
    for k in range(0, actions.shape[1], chunk):
        parts.append(env.step_chunk(actions[:num_envs, k : k + chunk]))
    env.close()
    for i in range(num_envs):

        def joined(read, i=i):
            return np.concatenate([read(part)[i, : part.num_steps[i]] for part in parts])

        info = {key: joined(lambda part, key=key: part.info[key]) for key in parts[0].info}
        assert_same_episode(
            singles[i],
            joined(lambda part: part.obs["state"]),
            joined(lambda part: part.rewards),
            joined(lambda part: part.terminated),
            joined(lambda part: part.truncated),
            info,
        )


@settings(max_examples=15)
@given(
    groups=st.lists(
        st.tuples(st.integers(1, 40), st.lists(st.booleans(), min_size=3, max_size=3)),
        min_size=1,
        max_size=12,
    )
)
def test_any_grouping_and_any_pauses_give_the_same_episodes(make_task, actions, singles, groups):
    env = TaskVectorEnv(3, make_task(), num_threads=0)
    env.reset(seed=100)
    taken = np.zeros(3, int)
    for horizon, active in groups:
        ahead = np.minimum(taken[:, None] + np.arange(horizon), actions.shape[1] - 1)
        part = env.step_chunk(actions[np.arange(3)[:, None], ahead], np.array(active))
        assert (part.num_steps[~np.array(active)] == 0).all()
        for i in range(3):
            for k in range(part.num_steps[i]):
                np.testing.assert_array_equal(part.obs["state"][i, k], singles[i][taken[i] + k + 1][0])
        taken += part.num_steps
    np.testing.assert_array_equal(env.get_state().num_steps, taken)


def test_a_chunk_is_cut_at_the_end_of_an_episode(make_task, actions, singles):
    """Physics, count and observation stand at the last real step; what lies behind repeats it."""
    env = TaskVectorEnv(NUM_EPISODES, make_task(), num_threads=0)
    env.reset(seed=100)
    result = env.step_chunk(actions)
    for i, steps in enumerate(singles):
        last = len(steps) - 1
        assert result.num_steps[i] == last
        assert (result.obs["state"][i, last:] == steps[-1][0]).all()
        assert (result.rewards[i, last:] == 0.0).all()
        assert result.terminated[i, -1] == steps[-1][2]
        assert result.truncated[i, -1] == steps[-1][3]
    final = np.stack([steps[-1][0] for steps in singles])
    state = env.get_state()
    np.testing.assert_array_equal(env.task.observe(state.physics, state.memory)["state"].astype(np.float32), final)
    np.testing.assert_array_equal(state.num_steps, result.num_steps)

    again = env.step_chunk(actions[:, :3])
    assert (again.num_steps == 0).all()
    assert (again.obs["state"] == final[:, None]).all()
    assert (again.terminated | again.truncated).all()
    np.testing.assert_array_equal(env.get_state().physics, state.physics)


def test_restoring_a_state_continues_exactly(make_task):
    env = TaskVectorEnv(5, make_task(), num_threads=0)
    env.reset(seed=7)

    def drive(num_steps):
        record = []
        for _ in range(num_steps):
            _, executed = env.expert_action()
            obs, rewards, *_, info = env.step(executed)
            record += [executed, obs["state"], rewards, info["mode"], info["success"]]
        return record

    drive(30)
    state = env.get_state()
    first, after = drive(80), env.get_state()
    env.reset(seed=99)
    env.set_state(state)
    for a, b in zip(first, drive(80), strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(vars(after).values(), vars(env.get_state()).values(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_state_is_a_copy_and_moves_between_drivers(make_task):
    single, vector = TaskEnv(make_task()), TaskVectorEnv(1, make_task(), num_threads=0)
    single.reset(seed=3)
    single.step(single.expert_action()[1])
    state = single.get_state()
    vector.set_state(state)
    for _ in range(20):
        action = single.expert_action()[1]
        np.testing.assert_array_equal(vector.expert_action()[1][0], action)
        np.testing.assert_array_equal(vector.step(action[None])[0]["state"][0], single.step(action)[0]["state"])
    assert state.num_steps == 1


def test_a_state_of_another_size_is_refused():
    env = TaskVectorEnv(2, Avoid(), num_threads=0)
    with pytest.raises(ValueError, match=r"Avoid: state.physics has shape \(3, 5\), expected \(2, 5\)"):
        env.set_state(TaskVectorEnv(3, Avoid(), num_threads=0).get_state())


def poison(env, index, value):
    state = env.get_state()
    state.physics[index, 1] = value
    env.set_state(EnvState(**vars(state)))


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e30])
@pytest.mark.parametrize("threads", [0, 2])
def test_a_diverged_environment_harms_no_neighbor(value, threads, make_task, actions, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    envs = [TaskVectorEnv(4, make_task(), num_threads=threads) for _ in range(2)]
    for env in envs:
        env.reset(seed=100)
        env.step_chunk(actions[:4, :5])
    poison(envs[0], 2, value)
    sick, sane = (env.step_chunk(actions[:4, 5:15]) for env in envs)
    assert sick.terminated[2].all()
    assert sick.info["unstable"][2].all()
    assert not sick.info["success"][2].any()
    assert (sick.info["mode"][2] == -1).all()
    assert np.isfinite(sick.obs["state"]).all()
    np.testing.assert_array_equal(sick.obs["state"][[0, 1, 3]], sane.obs["state"][[0, 1, 3]])
    np.testing.assert_array_equal(sick.num_steps[[0, 1, 3]], sane.num_steps[[0, 1, 3]])
    assert not sick.info["unstable"][[0, 1, 3]].any()
    envs[0].reset(seed=100, options={"reset_mask": np.array([False, False, True, False])})
    assert not envs[0].step(actions[:4, 0])[4]["unstable"].any()
    for env in envs:
        env.close()
    assert capfd.readouterr() == ("", "")
    assert list(tmp_path.iterdir()) == []


def test_an_environment_that_diverges_inside_a_chunk_ends_there(actions, tmp_path, monkeypatch, capfd):
    """A velocity beyond all reason: MuJoCo computes with it, the driver does not believe it."""
    monkeypatch.chdir(tmp_path)
    task = Avoid()
    task.model.actuator_gainprm[0, 0] *= 1e9  # explodes in x as soon as the target differs from the position
    env = TaskVectorEnv(2, task, num_threads=0)
    env.reset(seed=0)
    state = env.get_state()
    state.physics[:, 1:] = [[0.0, -0.28, 0.0, 0.0], [0.0, -0.28, 0.0, 0.0]]
    env.set_state(state)
    targets = np.tile([0.0, -0.28], (2, 6, 1))
    targets[0, 3:, 0] = 0.1
    result = env.step_chunk(targets)
    np.testing.assert_array_equal(result.num_steps, [4, 6])
    np.testing.assert_array_equal(result.info["unstable"], [[False] * 3 + [True] * 3, [False] * 6])
    assert np.isfinite(result.obs["state"]).all()
    assert capfd.readouterr() == ("", "")
    assert list(tmp_path.iterdir()) == []


def test_an_action_that_is_no_number_ends_its_episode_alone(make_task, actions):
    envs = [TaskVectorEnv(3, make_task(), num_threads=0) for _ in range(2)]
    for env in envs:
        env.reset(seed=100)
    bad = actions[:3, :6].copy()
    bad[1, 2, 0] = np.nan
    sick, sane = envs[0].step_chunk(bad), envs[1].step_chunk(actions[:3, :6])
    np.testing.assert_array_equal(sick.num_steps, [6, 3, 6])
    assert sick.info["unstable"][1].tolist() == [False, False, True, True, True, True]
    np.testing.assert_array_equal(sick.obs["state"][[0, 2]], sane.obs["state"][[0, 2]])


def test_actions_beyond_the_bounds_are_clipped():
    env = TaskEnv(Avoid())
    ends = []
    for x in (0.32, 0.4, 5.0):
        env.reset(seed=0)
        for _ in range(30):
            obs, *_ = env.step(np.array([x, -0.28]))
        ends.append(obs["state"])
    np.testing.assert_array_equal(ends[0], ends[1])
    np.testing.assert_array_equal(ends[0], ends[2])


def test_reset_mask_starts_only_the_masked(make_task, actions):
    env = TaskVectorEnv(3, make_task(), num_threads=0)
    first, _ = env.reset(seed=[5, 6, 7])
    env.step_chunk(actions[:3, :10])
    before = env.get_state()
    obs, info = env.reset(seed=[5, 6, 7], options={"reset_mask": np.array([True, False, True])})
    after = env.get_state()
    np.testing.assert_array_equal(obs["state"][[0, 2]], first["state"][[0, 2]])
    np.testing.assert_array_equal(after.physics[1], before.physics[1])
    assert before.num_steps[1] > 0
    np.testing.assert_array_equal(after.num_steps, [0, before.num_steps[1], 0])
    assert set(info) == {"success", "score", "mode", "unstable"}


def test_seeds_number_and_list_agree_and_none_draws_new_ones():
    env = TaskVectorEnv(3, Avoid(), num_threads=0)
    by_number, _ = env.reset(seed=11)
    by_list, _ = env.reset(seed=[11, 12, 13])
    np.testing.assert_array_equal(by_number["state"], by_list["state"])
    env.reset(seed=11)
    drawn = [env.reset()[0]["state"] for _ in range(2)]
    env.reset(seed=11)
    np.testing.assert_array_equal(env.reset()[0]["state"], drawn[0])
    assert len(np.unique(np.concatenate([by_number["state"], *drawn]), axis=0)) == 9


def test_an_explicit_start_is_taken():
    single, vector = TaskEnv(Avoid()), TaskVectorEnv(2, Avoid(), num_threads=0)
    start = np.array([[0.1, -0.3], [-0.05, -0.2]])
    obs, _ = vector.reset(seed=0, options={"start": start})
    np.testing.assert_array_equal(obs["state"][:, :2], start.astype(np.float32))
    obs, _ = single.reset(seed=0, options={"start": start[1]})
    np.testing.assert_array_equal(obs["state"][:2], start[1].astype(np.float32))


def test_the_start_of_a_seed_can_be_asked_for():
    env = TaskVectorEnv(2, Avoid(), num_threads=0)
    wanted, _ = env.reset(seed=[7, 8])
    again, _ = env.reset(seed=[70, 80], options={"start": env.starts([7, 8])})
    np.testing.assert_array_equal(again["state"], wanted["state"])


def test_check_env(make_task):
    name = make_task.__name__.removeprefix("Short")
    env = gymnasium.make(f"envs:robolearn/{name}-v0", render_mode="rgb_array").unwrapped
    check_env(env, skip_render_check=True)


def test_the_ids_are_registered():
    env = gymnasium.make(ENV_ID)
    vector = gymnasium.make_vec(ENV_ID, num_envs=4)
    assert isinstance(env.unwrapped, TaskEnv)
    assert isinstance(vector, TaskVectorEnv)
    assert vector.metadata["autoreset_mode"] is AutoresetMode.DISABLED
    assert vector.observation_space["state"].shape == (4, 4)
    assert env.metadata["render_fps"] == 20
    vector.close()
