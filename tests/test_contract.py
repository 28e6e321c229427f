"""What environments declare of themselves, in one record or attribute by attribute, and that it is asked once."""

import sys
import types

import gymnasium as gym
import numpy as np
import pytest

from envs import rendering
from envs.avoid import Avoid
from robolearn.contract import Facts, load_triton
from robolearn.modules import import_home
from robolearn.rollout import making
from robolearn.rollout.env_config import EnvConfig
from robolearn.rollout.making import facts_of, make_envs
from tests.rollout import bad_envs


def far(xy):
    return np.full(xy.shape[:-1], 9.0)


def test_a_record_is_read_as_it_is():
    facts = Facts(num_modes=3, clearance=far, units={"action": "m"}, score="way", has_expert=True)
    assert Facts.declared_by(types.SimpleNamespace(facts=facts, num_modes=7)) is facts


def test_an_environment_that_knows_no_record_may_have_single_attributes():
    env = types.SimpleNamespace(num_modes=3, clearance=far, control_dt=np.float64(0.5), units={"action": "m"})
    assert Facts.declared_by(env) == Facts(num_modes=3, clearance=far, control_dt=0.5, units={"action": "m"})
    assert isinstance(Facts.declared_by(env).control_dt, float)
    assert Facts.declared_by(types.SimpleNamespace(expert_action=far)) == Facts(has_expert=True)
    assert Facts.declared_by(types.SimpleNamespace()) == Facts()


@pytest.mark.parametrize(
    "told", [{"num_modes": 1}, {"num_modes": 2.5}, {"num_modes": "two"}, {"clearance": 0.02}, {"facts": "many"}]
)
def test_what_cannot_be_meant_says_nothing(told):
    assert Facts.declared_by(types.SimpleNamespace(**told)) == Facts()


@pytest.mark.parametrize("count", [0, 1, -1])
def test_a_record_of_one_mode_is_a_mistake(count):
    with pytest.raises(ValueError, match=f"num_modes {count} must be at least 2"):
        Facts(num_modes=count)


class Knowing(bad_envs.Good):
    """Declares a record, and counts how often it is made."""

    made = 0

    def __init__(self):
        type(self).made += 1
        self.facts = Facts(num_modes=2, score="steps")


gym.register("test/Knowing-v0", entry_point=Knowing, max_episode_steps=6)
KNOWING = EnvConfig("test/Knowing-v0")


def test_an_environment_that_was_made_is_not_made_again_to_be_asked(monkeypatch):
    monkeypatch.setattr(making, "_KNOWN", {})
    envs = make_envs(KNOWING, 2, ("state",))
    envs.close()
    before = Knowing.made
    assert facts_of(KNOWING).num_modes == 2
    assert facts_of(EnvConfig(KNOWING.id, max_episode_steps=3)).score == "steps"
    assert Knowing.made == before


def test_one_is_made_where_none_was_before_and_only_once(monkeypatch):
    monkeypatch.setattr(making, "_KNOWN", {})
    before = Knowing.made
    assert facts_of(KNOWING) is facts_of(KNOWING)
    assert Knowing.made == before + 1


def test_other_arguments_may_mean_other_facts():
    assert facts_of(EnvConfig("envs:robolearn/Avoid-v0")).symmetry is not None
    assert facts_of(EnvConfig("envs:robolearn/Avoid-v0", {"moved": 0.03})).symmetry is None


@pytest.mark.parametrize(
    ("name", "modes", "expert", "clear"),
    [("Avoid", 24, True, True), ("Insert", 2, True, False), ("Push", 4, True, False), ("PushT", None, False, False)],
)
def test_both_drivers_of_a_task_declare_the_same(name, modes, expert, clear):
    single = gym.make(f"envs:robolearn/{name}-v0").unwrapped
    vector = gym.make_vec(f"envs:robolearn/{name}-v0", num_envs=1)
    one, other = Facts.declared_by(single), Facts.declared_by(vector)
    assert (one.num_modes, one.has_expert, one.clearance is not None) == (modes, expert, clear)
    for field in ("num_modes", "symmetry", "control_dt", "units", "score", "has_expert"):
        assert getattr(one, field) == getattr(other, field)
    assert one.score
    single.close()
    vector.close()


@pytest.fixture
def triton(tmp_path, monkeypatch):
    """A module of that name, as torch for CUDA brings it; None in its place would be no module at all."""
    (tmp_path / "triton.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "triton", raising=False)
    yield
    sys.modules.pop("triton", None)


def test_triton_is_loaded_before_what_draws(triton, monkeypatch):
    """Behind Mesa it crashes the process."""
    loaded = []

    def load(name):
        loaded.append("triton" in sys.modules)
        raise ImportError(name)

    monkeypatch.setattr(rendering, "import_module", load)
    monkeypatch.setenv("MUJOCO_GL", "egl")
    with pytest.raises(RuntimeError, match="no GL library"):
        rendering.Renderer(Avoid().model, 8, 8)
    assert loaded == [True]


def test_triton_is_loaded_before_an_environment_that_may_draw(triton):
    import_home("Pendulum-v1")
    assert "triton" in sys.modules


def test_a_triton_that_cannot_be_loaded_is_none(triton, tmp_path):
    """Torch does without it, too."""
    (tmp_path / "triton.py").write_text("import no_such_library")
    load_triton()
