"""Packages that were written for other versions: one line names the package and says what to do."""

import sys
import types

import gymnasium as gym
import pytest

from robolearn import outdated
from robolearn.policies.regression import RegressionConfig
from robolearn.rollout.env_config import EnvConfig
from robolearn.rollout.execution import Execution
from robolearn.rollout.making import make_envs
from robolearn.rollout.roll_out import roll_out
from tests.rollout import bad_envs

MODULES = {
    "old_gym": "import gym\n",
    "old_mujoco": "import mujoco_py\n",
    "old_numpy": "import numpy\nSIZE = numpy.bool8\n",
    "old_name": "from numpy import in1d_of_old\n",
}


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Writes a module and returns the environment that it is to register."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(name):
        (tmp_path / f"{name}.py").write_text(MODULES[name])
        return EnvConfig(f"{name}:Old-v0")

    yield write
    for name in MODULES:
        sys.modules.pop(name, None)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("old_gym", "No module named 'gym'; old_gym was written for gym, which gymnasium replaced; install a newer"),
        ("old_mujoco", "old_mujoco was written for mujoco_py, which mujoco replaced; install a newer"),
        ("old_numpy", r"no attribute 'bool8'.*; old_numpy was written for another numpy than [\d.]+; install a newer"),
        ("old_name", "old_name was written for another numpy than"),
    ],
)
def test_a_package_that_cannot_be_imported_is_named(package, name, said):
    with pytest.raises(ValueError, match=said) as refused:
        make_envs(package(name), 1, ("state",))
    assert "\n" not in str(refused.value)


def test_a_package_that_registers_with_gym_is_named(package, monkeypatch):
    monkeypatch.setitem(sys.modules, "gym", types.ModuleType("gym"))
    with pytest.raises(ValueError, match="old_gym registers with gym, which gymnasium replaced"):
        make_envs(package("old_gym"), 1, ("state",))


def test_what_a_package_asks_for_and_is_not_there_is_named(monkeypatch):
    outdated._unmet.cache_clear()
    monkeypatch.setattr(outdated, "_distribution", lambda package: "gymnasium")
    asked = ["numpy<1.0", "gymnasium", "pytest==0.1 ; extra == 'all'", "no-such-thing"]
    monkeypatch.setattr(outdated.metadata, "requires", lambda distribution: asked)
    advice = outdated.advice_for(ValueError("sizes"), "sizes", "some_package:Task-v0")
    outdated._unmet.cache_clear()
    assert advice is not None
    assert "asks for numpy<1.0 (installed is " in advice
    assert advice.endswith("install it where it finds these")


class OldReset(bad_envs.Good):
    """Takes no seed."""

    def reset(self):
        return super().reset(seed=0)[0]


gym.register("test/OldReset-v0", entry_point=OldReset, max_episode_steps=6, disable_env_checker=True)


@pytest.mark.parametrize("env_id", ["bad/FourTuple-v0", "test/OldReset-v0", "bad/OldReset-v0"])
def test_an_environment_of_before_gymnasium_is_told(make_policy, env_id):
    policy = make_policy(RegressionConfig(), obs_shapes={"state": (2,)})
    with pytest.raises(ValueError, match=r"was written for gym before 0\.26: there a step had four values") as refused:
        roll_out(policy, EnvConfig(env_id), range(2), execution=Execution(4), seed=0)
    assert "\n" not in str(refused.value)


def test_an_error_that_says_nothing_is_told_where_it_arose(package, monkeypatch):
    """As robosuite's with a MuJoCo that it was not written for: an assertion without a word."""
    monkeypatch.setitem(MODULES, "old_assert", "SIZE = 3\nassert SIZE == 4\n")
    with pytest.raises(ValueError, match=r"AssertionError; raised in old_assert, line 2$"):
        make_envs(package("old_assert"), 1, ("state",))


def test_any_other_error_is_left_as_it_is():
    assert outdated.advice_for(ValueError("boom"), "boom", None) is None
