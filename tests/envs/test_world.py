"""Environments of others, for real: each of a package that has to be installed beside this one.

Some of these packages ask for one version of MuJoCo alone; run this file from an environment that has what they need.
"""

import importlib.util

import numpy as np
import pytest

from robolearn.policies.regression import RegressionConfig
from robolearn.rollout.env_config import EnvConfig
from robolearn.rollout.execution import Execution
from robolearn.rollout.known import check_known
from robolearn.rollout.metrics import summarize
from robolearn.rollout.roll_out import roll_out
from tests.test_docs import saved_files

STEPS = 12
FETCH = ("state=observation+desired_goal",)
LIFT = ("state=robot0_proprio-state+object-state",)
# Package, environment, shapes of a policy's observations, numbers in its actions, whether success is told of.
WORLD = [
    ("mujoco", EnvConfig("InvertedPendulum-v5"), {"state": (4,)}, 1, False),
    ("mujoco", EnvConfig("gymnasium:Reacher-v5"), {"state": (10,)}, 2, False),
    ("mujoco", EnvConfig("Pusher-v5", {"frame_skip": 5}), {"state": (23,)}, 7, False),
    ("gymnasium_robotics", EnvConfig("gymnasium_robotics:FetchReach-v4", obs=FETCH), {"state": (13,)}, 4, True),
    ("gymnasium_robotics", EnvConfig("gymnasium_robotics:AdroitHandDoor-v1"), {"state": (39,)}, 28, True),
    (
        "metaworld",
        EnvConfig("metaworld:Meta-World/MT1", {"env_name": "reach-v3", "seed": 1}),
        {"state": (39,)},
        4,
        True,
    ),
    (
        "shimmy",
        EnvConfig("shimmy:dm_control/cartpole-swingup-v0", obs=("state=position+velocity",)),
        {"state": (5,)},
        1,
        False,
    ),
    (
        "gym_aloha",
        EnvConfig(
            "gym_aloha:gym_aloha/AlohaTransferCube-v0", {"obs_type": "pixels_agent_pos"}, obs=("state=agent_pos",)
        ),
        {"state": (14,)},
        14,
        True,
    ),
]


def drive(make_policy, cfg, shapes, action_dim, num_envs=2):
    policy = make_policy(RegressionConfig(), obs_shapes=shapes, action_dim=action_dim)
    return roll_out(policy, cfg, range(3), execution=Execution(4), seed=100_000, num_envs=num_envs)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of strangers
@pytest.mark.parametrize(("package", "cfg", "shapes", "action_dim", "tells"), WORLD, ids=lambda value: str(value)[:60])
def test_an_environment_of_the_world_is_driven(make_policy, package, cfg, shapes, action_dim, tells):
    """Without a line of one's own, the same again from the same seeds, and known well enough to be named by a file."""
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    cfg = EnvConfig(max_episode_steps=STEPS).with_defaults(cfg)
    check_known(cfg, "config.json")
    try:
        runs = [drive(make_policy, cfg, shapes, action_dim, num_envs) for num_envs in (2, 1)]
    except ValueError as error:
        if "asks for" in str(error):  # a version that is not here, which is named
            pytest.skip(str(error))
        raise
    for one, other in zip(*runs, strict=True):
        assert not one.broken, one.reason
        assert one.tells_success == tells
        np.testing.assert_allclose(one.rewards, other.rewards, rtol=1e-4, atol=1e-6)
    assert len({t.start for t in runs[0]}) == 3
    summary = summarize(runs[0], num_modes=None, control_dt=0.05)
    assert (summary.success is None) == (not tells)
    assert np.isfinite(summary.episode_return.value)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_robosuite_by_the_lines_of_the_page(make_policy, tmp_path, monkeypatch):
    """It registers nothing with gymnasium; seeds, success and keys reach us by what the page tells to save."""
    pytest.importorskip("robosuite", reason="robosuite is not installed")
    (tmp_path / "my_robosuite.py").write_text(saved_files()["my_robosuite"])
    monkeypatch.syspath_prepend(tmp_path)
    cfg = EnvConfig("my_robosuite:Robosuite-v0", {"task": "Lift"}, max_episode_steps=STEPS, obs=LIFT)
    try:
        runs = [drive(make_policy, cfg, {"state": (60,)}, 7, num_envs) for num_envs in (2, 1)]
    except ValueError as error:
        if "robosuite" in str(error) and "AssertionError" in str(error):
            pytest.skip(f"robosuite does not work with this MuJoCo: {error}")
        raise
    for one, other in zip(*runs, strict=True):
        assert (one.broken, one.tells_success, one.success, len(one)) == (False, True, False, STEPS)
        assert one.start == other.start
        np.testing.assert_allclose(one.rewards, other.rewards, rtol=1e-4, atol=1e-6)
    assert len({t.start for t in runs[0]}) == 3
