"""An episode has a scene of its own, a function of its seed alone, in every driver."""

import gymnasium
import numpy as np
import pytest

from envs.avoid import START_Y
from envs.avoid_field import HAND, AvoidField
from envs.drivers import TaskEnv
from envs.fields import KINDS
from tests.envs.avoid_field.starts import BEGIN, ENV_ID, executed, field, start_of


def test_neighbors_of_other_masses_change_nothing(task, make):
    """The same actions from the same place: each rod as alone, bit for bit, and each unlike the others."""
    starts = np.stack([start_of(task, s, x=0.0, y=START_Y, mass=m, field=field()) for s, m in enumerate(HAND * 3)])
    actions = np.repeat(executed(task, starts[:1], 40), len(starts), axis=0)
    vector = make(len(starts), num_threads=2)
    vector.reset(seed=0, options={"start": starts})
    together = vector.step_chunk(actions)
    assert len(np.unique(together.physics[:, -1, 1:3], axis=0)) == len(starts)
    for i, start in enumerate(starts):
        alone = make(1)
        alone.reset(seed=0, options={"start": start[None]})
        np.testing.assert_array_equal(together.physics[i], alone.step_chunk(actions[i : i + 1]).physics[0])


def test_the_field_that_is_seen_is_the_same_in_both_drivers(make):
    vector, single = make(4, num_threads=2), TaskEnv(AvoidField())
    first, _ = vector.reset(seed=50)
    actions = np.cumsum(np.full((4, 30, 2), [0.001, 0.01]), axis=1) + BEGIN
    seen = vector.step_chunk(actions)
    for i in range(4):
        np.testing.assert_array_equal(single.reset(seed=50 + i)[0]["field"], first["field"][i])
        for k in range(seen.num_steps[i]):
            np.testing.assert_array_equal(single.step(actions[i, k])[0]["field"], seen.obs["field"][i, k])
    assert len(np.unique(first["field"], axis=0)) == 4


def test_a_restored_state_has_its_scene(make):
    """In an environment whose own episode has another field and another mass."""
    env, other = make(3), make(3)
    env.reset(seed=20)
    env.step(env.expert_action()[1])
    other.reset(seed=90)
    other.set_state(env.get_state())
    for _ in range(70):
        actions = env.expert_action()[1]
        one, two = (e.step(actions) for e in (env, other))
        np.testing.assert_array_equal(one[0]["state"], two[0]["state"])
        np.testing.assert_array_equal(one[0]["field"], two[0]["field"])
        np.testing.assert_array_equal(one[2], two[2])


def test_a_scene_of_other_elements_is_refused(make):
    class Grown(AvoidField):
        def model_of(self, memory):
            spec = self.spec.copy()
            spec.worldbody.add_geom(name="more", size=[0.01, 0, 0])
            return spec.compile()

    with pytest.raises(AssertionError, match="Grown: a scene with other elements"):
        make(1, Grown).reset(seed=0)


def test_the_kind_of_field_is_an_argument_of_make_in_both_drivers():
    single = gymnasium.make(ENV_ID, field="dense", latency=1).unwrapped
    vector = gymnasium.make_vec(ENV_ID, num_envs=2, field="dense")
    np.testing.assert_array_equal(single.reset(seed=4)[0]["field"], vector.reset(seed=[4, 5])[0]["field"][0])
    counts = (vector.starts(range(40))[:, 4:].reshape(40, -1, 3)[..., 2] > 0).sum(axis=1)
    assert counts.min() >= KINDS["dense"].counts[0]
    assert single.task.disturbance.latency == 1
    vector.close()
