"""What the drivers refuse, and how they say so."""

import shutil

import numpy as np
import pytest

from envs import task as task_module
from envs.avoid import Avoid
from envs.drivers import TaskEnv, TaskVectorEnv


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s, v: s.step(np.zeros(3)), r"Avoid: action has shape \(3,\), expected \(2,\)"),
        (lambda s, v: v.step(np.zeros(2)), r"Avoid: action has shape \(2,\), expected \(2, 2\)"),
        (
            lambda s, v: v.step_chunk(np.zeros((2, 2))),
            r"Avoid: action has shape \(2, 2\), expected \(2, 2, 2\)",
        ),
        (lambda s, v: v.step_chunk(np.zeros((2, 0, 2))), r"shape \(2, 0, 2\), expected \(2, 1, 2\)"),
        (
            lambda s, v: v.step_chunk(np.zeros((2, 4, 2)), np.ones(2)),
            r"active is float64\[2\], expected bool\[2\]",
        ),
        (lambda s, v: s.reset(options={"begin": 1}), "unknown reset option 'begin'; choose from start"),
        (
            lambda s, v: v.reset(options={"mask": 1}),
            "unknown reset option 'mask'; choose from start, reset_mask",
        ),
        (lambda s, v: v.reset(options={"reset_mask": np.ones(3, bool)}), r"is bool\[3\], expected bool\[2\]"),
        (lambda s, v: v.reset(seed=[1, 2, 3]), "seed has 3 entries for 2 environments"),
        (
            lambda s, v: s.reset(options={"start": [0.0]}),
            r"options\['start'\] has shape \(1,\), expected \(2,\)",
        ),
        (lambda s, v: s.reset(options={"start": [0.0, 3.0]}), r"= \[0.0, 3.0\] is outside"),
        (lambda s, v: s.reset(options={"start": [0.0, np.nan]}), "is outside"),
        (lambda s, v: TaskEnv(Avoid()).step(np.zeros(2)), r"Avoid: call reset\(\) before the first step"),
        (
            lambda s, v: TaskEnv(Avoid(), render_mode="human"),
            "render_mode='human'; choose one of rgb_array, or None",
        ),
        (lambda s, v: TaskEnv(Avoid(), width=0), "width=0 must be a whole number of pixels, 1 or more"),
        (lambda s, v: TaskVectorEnv(2, Avoid(), height=2.5), "height=2.5 must be a whole number of pixels"),  # pyright: ignore
        (lambda s, v: TaskVectorEnv(0, Avoid()), "num_envs must be at least 1, got 0"),
    ],
)
def test_messages(call, message):
    single, vector = TaskEnv(Avoid()), TaskVectorEnv(2, Avoid(), num_threads=0)
    single.reset(seed=0)
    vector.reset(seed=0)
    with pytest.raises(ValueError, match=message) as error:
        call(single, vector)
    assert "\n" not in str(error.value)


class NoExpert(Avoid):
    has_expert = False


def test_a_task_without_an_expert_says_so():
    env = TaskEnv(NoExpert())
    env.reset(seed=0)
    with pytest.raises(ValueError, match="NoExpert has no scripted expert"):
        env.expert_action()


@pytest.mark.parametrize(
    ("flag", "message"),
    [("warmstart", "steps would depend on earlier calls"), ("autoreset", "would restart by itself")],
)
def test_an_mjcf_without_the_flags_is_refused(flag, message, tmp_path, monkeypatch):
    shutil.copytree(task_module.ASSETS, tmp_path, dirs_exist_ok=True)
    arena = tmp_path / "avoid_arena.xml"
    arena.write_text(arena.read_text().replace(f'{flag}="disable"', ""))
    monkeypatch.setattr(task_module, "ASSETS", tmp_path)
    with pytest.raises(AssertionError, match=message):
        Avoid()


def test_what_could_not_be_made_is_closed_without_a_word():
    """As gymnasium before 1.4 closes it when it is deleted, with a traceback of what it lacks."""
    envs = TaskVectorEnv.__new__(TaskVectorEnv)
    with pytest.raises(ValueError, match="must be a whole number of pixels"):
        envs.__init__(1, Avoid(), width=-3)
    envs.close()
