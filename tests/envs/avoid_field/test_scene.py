"""A scene is what its start says; starts fill their space, and no field that is evaluated was demonstrated."""

import mujoco
import numpy as np
import pytest

from envs.avoid import ROD_RADIUS
from envs.avoid_field import HAND, AvoidField
from envs.disturbance import Disturbance
from envs.drivers import TaskVectorEnv
from envs.fields import KINDS, MAX_CYLINDERS, clearance
from robolearn import seeds
from tests.envs.avoid_field.starts import start_of


@pytest.mark.parametrize("moved", [0.0, -0.04])
@pytest.mark.parametrize("seed", range(5))
def test_cylinders_stand_where_the_start_says_and_are_judged_there(seed, moved):
    task = AvoidField(Disturbance(moved=moved))
    start = start_of(task, seed)
    _, memory = task.initial_state(start[None])
    model = task.model_of(memory[0])
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    geoms = [g for g in range(model.ngeom) if model.geom(g).name.startswith("cylinder")]
    stand = np.array([[*data.geom_xpos[g, :2], model.geom_size[g, 0]] for g in geoms if data.geom_xpos[g, 2] == 0.0])
    expected = start[4:].reshape(-1, 3) + np.array([moved, 0.0, 0.0])
    expected = expected[expected[:, 2] > 0]
    np.testing.assert_allclose(stand, expected, atol=1e-12)
    hidden = [g for g in geoms if data.geom_xpos[g, 2] != 0.0]
    assert len(hidden) == MAX_CYLINDERS - len(expected)
    floor = data.geom("floor").xpos[2] - model.geom("floor").size[2]
    assert all(data.geom_xpos[g, 2] + model.geom_size[g, 1] < floor for g in hidden)
    xy = np.random.default_rng(0).uniform([-0.3, -0.3], [0.3, 0.4], (300, 2))
    distance = np.linalg.norm(xy[:, None] - stand[:, :2], axis=-1) - stand[:, 2] - ROD_RADIUS
    np.testing.assert_allclose(clearance(xy, task.field_of(memory[0])), distance.min(axis=1), atol=1e-12)


def test_the_rod_has_its_mass_and_damping_and_the_actuators_their_gains():
    plain, heavy = AvoidField(), AvoidField(Disturbance(mass=2.0, friction=0.5))
    start = start_of(plain, mass=1.2, damping=0.9)
    for task, mass, damping in ((plain, 1.2, 0.9), (heavy, 2.4, 0.45)):
        model = task.model_of(task.initial_state(start[None])[1][0])
        assert model.body("rod").mass.item() == pytest.approx(mass)
        np.testing.assert_allclose(model.actuator_biasprm[:, 2], damping * plain.model.actuator_biasprm[:, 2])
        np.testing.assert_array_equal(model.actuator_gainprm, plain.model.actuator_gainprm)


def test_building_scenes_leaves_the_task_s_own_model_alone(task):
    def buffer():
        buffer = np.zeros(mujoco.mj_sizeModel(task.model), np.uint8)
        mujoco.mj_saveModel(task.model, None, buffer)
        return buffer

    before = buffer()
    for seed in range(5):
        memory = task.initial_state(start_of(task, seed)[None])[1][0]
        assert task.model_of(memory) is not task.model
    np.testing.assert_array_equal(before, buffer())


@pytest.mark.long
def test_starts_are_drawn_inside_their_space_and_fill_it(task):
    for kind in KINDS:
        starts = np.stack([AvoidField(field=kind).sample_start(np.random.default_rng(s)) for s in range(300)])
        assert (starts >= task.start_space.low).all()
        assert (starts <= task.start_space.high).all()
        np.testing.assert_allclose(starts[:, 2:4].min(axis=0), HAND[0], atol=0.01)
        np.testing.assert_allclose(starts[:, 2:4].max(axis=0), HAND[1], atol=0.01)


def test_no_layout_that_is_evaluated_was_demonstrated(task):
    spent = (seeds.DEMONSTRATIONS[:300], seeds.EVALUATION[:300], seeds.ROLLOUTS[:300])
    fields = [TaskVectorEnv(1, task, num_threads=0).starts(list(those))[:, 4:] for those in spent]
    assert len(np.unique(np.concatenate(fields), axis=0)) == 900
