"""Who meets a cylinder has failed, who comes to the finish has crossed; the expert crosses nearly every field."""

import numpy as np
import pytest

from envs.avoid import START_Y
from envs.avoid_field import AvoidField
from envs.disturbance import Disturbance
from envs.drivers import TaskVectorEnv
from envs.fields import KINDS
from tests.envs.avoid_field.starts import field, start_of

EXPERT_EPISODES = 400


def outcome(env, seed):
    """Success [n] of the expert's executed actions from the seeds from `seed` on."""
    env.reset(seed=seed)
    ended, info = np.zeros(env.num_envs, bool), {}
    while not ended.all():
        *_, terminated, truncated, info = env.step(env.expert_action()[1])
        ended = terminated | truncated
    return info["success"]


def test_a_cylinder_is_met_and_a_free_way_leads_to_the_finish(task, make):
    env = make(3)
    fields = (field(), field((0.0, 0.0, 0.03)), field((0.05, 0.0, 0.03)))
    env.reset(seed=0, options={"start": np.stack([start_of(task, x=0.0, y=START_Y, field=f) for f in fields])})
    ahead = np.stack([np.zeros(80), np.linspace(START_Y, 0.4, 80)], axis=-1)
    result = env.step_chunk(np.tile(ahead, (3, 1, 1)))
    np.testing.assert_array_equal(result.info["success"][:, -1], [True, False, True])
    np.testing.assert_array_equal(result.terminated[:, -1], [True] * 3)
    assert (result.info["mode"] == -1).all()
    at = result.physics[1, -1, 2]
    assert -0.045 < at < -0.035  # contact is at y = -0.04
    assert result.info["score"][1, -1] == pytest.approx((at - START_Y) / 0.63)


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS)
def test_the_expert_crosses_fields_of_every_kind(kind):
    """At a true rate of 0.99 fewer than 390 of 400 would be seen once in 500 times."""
    env = TaskVectorEnv(EXPERT_EPISODES, AvoidField(field=kind), num_threads=0)
    assert outcome(env, 2000).sum() >= 390


@pytest.mark.parametrize(
    "disturbance", [Disturbance(moved=0.09), Disturbance(moved=-0.06, mass=1.4, friction=0.7, bias=0.01, latency=2)]
)
def test_the_expert_crosses_disturbed_fields(make, disturbance):
    assert outcome(make(100, disturbance=disturbance), 3000).mean() >= 0.97


def test_demonstrations_of_a_field_part(task):
    """From one start in one field the expert takes ways on both sides of the cylinder ahead."""
    physics, memory = task.initial_state(start_of(task, x=0.0, y=START_Y, field=field((0.0, 0.0, 0.04)))[None])
    rng = np.random.default_rng(0)
    ways = np.stack([task.plan(rng, physics[0], memory[0]) for _ in range(200)])
    beside = ways[np.arange(200), np.abs(ways[..., 1]).argmin(axis=1), 0]
    assert 0.35 < (beside > 0).mean() < 0.65
    assert np.ptp(ways[:, -1, 0]) > 0.5
