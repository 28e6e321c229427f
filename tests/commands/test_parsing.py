"""Flags are the fields of the configurations, all of them, with their help and the defaults of recipes and runs."""

import dataclasses
from pathlib import Path

import pytest

from robolearn.commands import calibrate, compare, parsing, train
from robolearn.commands import eval as evaluation
from robolearn.evaluation.calibrate_config import CalibrateConfig
from robolearn.evaluation.compare_config import CompareConfig, SideConfig
from robolearn.evaluation.config import EvalConfig
from robolearn.nets.mlp import MLPConfig
from robolearn.policies.diffusion import DiffusionConfig
from robolearn.policies.flow import FlowConfig
from robolearn.policies.registry import REGISTRY
from robolearn.training.config import DatasetConfig, TrainConfig
from robolearn.training.recipes import RECIPES


def parsed(*arguments):
    return train.parse(list(arguments), "train.py")[0]


def names(*classes):
    return sorted(f.name for cls in classes for f in dataclasses.fields(cls))


def test_every_field_has_a_flag_and_one_only():
    nested = ["family", "backbone", "dataset", "env", "vision", "swag"]
    grouped = [name for group in train.GROUPS.values() for name in group]
    assert sorted([*grouped, *nested]) == names(TrainConfig)
    assert sorted([*names(evaluation.Rollout, evaluation.Watch), "env", "execution"]) == names(EvalConfig)
    assert sorted([*names(compare.Asked), "a", "b", "env"]) == names(CompareConfig)
    of_calibration = names(calibrate.Gate, calibrate.Tube, calibrate.Choice)
    assert sorted([*of_calibration, "env", "execution"]) == names(CalibrateConfig)


@pytest.mark.parametrize(
    "config", [TrainConfig, DatasetConfig, EvalConfig, CalibrateConfig, CompareConfig, SideConfig, *REGISTRY.values()]
)
def test_every_field_is_explained(config):
    unexplained = {"family", "backbone", "dataset", "env", "vision", "swag", "execution"}  # groups, which are explained
    assert set(names(config)) - set(parsing.field_docs(config)) <= unexplained


def test_the_next_command_is_one_that_a_shell_takes():
    line = parsing.next_step("python train.py", "eval", Path("my runs/a"), "--env.kwargs", "look", '"real"')
    assert line == """next: python eval.py 'my runs/a' --env.kwargs look '"real"'"""
    assert parsing.next_step("robolearn simulator learn", "accuracy", "sim") == "next: robolearn simulator accuracy sim"


def test_flags_are_repeated_with_their_values():
    given = ["run", "--env.id", "a:b", "--env.kwargs", "x", "1", "--alpha", "0.1", "--keep-noise", "--env.timeout=3"]
    assert parsing.repeated(given, {"env.id", "env.kwargs", "env.timeout", "keep_noise"}) == [
        *["--env.id", "a:b", "--env.kwargs", "x", "1", "--keep-noise", "--env.timeout=3"]
    ]
    assert parsing.repeated(given, {"id", "env"}) == []


def test_without_flags_all_is_as_by_default():
    assert parsed() == TrainConfig()


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_is_what_is_trained(recipe):
    assert parsed("--recipe", recipe) == RECIPES[recipe]


def test_flags_change_a_recipe():
    cfg = parsed("flow", "mlp", "--recipe", "pusht", "--family.steps", "3", "--dataset.validation-fraction", "0.5")
    assert cfg.family == FlowConfig(steps=3)
    assert cfg.backbone == MLPConfig(width=512, depth=4)
    assert cfg.dataset == dataclasses.replace(RECIPES["pusht"].dataset, validation_fraction=0.5)
    assert (cfg.steps, cfg.lr) == (17_700, 5e-4)


def test_another_family_than_the_recipe_s_begins_with_its_own_defaults():
    cfg = parsed("diffusion", "--recipe", "door", "--backbone.width", "32")
    assert (cfg.family, cfg.backbone) == (DiffusionConfig(), MLPConfig(width=32))
    assert cfg.dataset == RECIPES["door"].dataset


def test_keyword_arguments_are_json_or_the_text_as_it_stands():
    flags = ["a", "1", "b", "[1, 2.5]", "c", "true", "d", "null", "e", '{"x": [0]}', "f", "reach-v3", "g", "True"]
    kwargs = parsed("--env.kwargs", *flags).env.kwargs
    expected = {"a": 1, "b": [1, 2.5], "c": True, "d": None, "e": {"x": [0]}, "f": "reach-v3", "g": True}
    assert kwargs == expected
    assert [type(value) for value in kwargs.values()] == [type(value) for value in expected.values()]


def test_what_an_environment_is_read_by_stands_in_flags():
    flags = ["--env.obs", "img=pixels", "agent_pos=state[:2]", "--env.return-range", "-10", "3.5"]
    env = parsed(*flags, "--env.stop-on-success", "--env.success-key", "task.done").env
    assert env.obs == ("img=pixels", "agent_pos=state[:2]")
    assert (env.return_range, env.stop_on_success, env.success_key) == ((-10.0, 3.5), True, "task.done")


def test_a_choice_that_may_be_left_open_has_a_pair_of_flags():
    """What a run was trained with can be taken back either way."""
    flags = {(): None, ("--env.clip",): True, ("--env.no-clip",): False}
    assert {given: parsed(*given).env.clip for given in flags} == flags
    assert parsed("--env.no-stop-on-success").env.stop_on_success is False
    with pytest.raises(ValueError, match="`clip` and `no_clip` contradict each other"):
        parsed("--env.clip", "--env.no-clip")


def test_a_recipe_and_a_run_to_go_on_with_are_refused(tmp_path):
    with pytest.raises(ValueError, match="`resume` goes on with the options of the run, `recipe` begins"):
        parsed("--recipe", "door", "--resume", str(tmp_path))


def test_an_unknown_recipe_is_told_the_choices():
    with pytest.raises(ValueError, match="`recipe` nope: choose from avoid, push, insert"):
        parsed("--recipe", "nope")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--steps", "0"], "`steps` 0 must be at least 1"),
        (["--dataset.obs-keys", "state", "state"], "`dataset.obs_keys` state state: a key is given twice"),
        (["--env.timeout", "0"], "`env.timeout` 0 must be a number of seconds above 0"),
        (["diffusion", "--family.steps", "0"], "steps 0 must be"),
    ],
)
def test_what_a_configuration_refuses_is_its_own_error(flags, message):
    """At whatever depth: tyro would draw a box around it."""
    with pytest.raises(ValueError, match=message):
        parsed(*flags)


@pytest.mark.parametrize(
    ("prog", "verb", "called"),
    [
        ("python train.py", "eval", "python eval.py"),
        ("robolearn train", "eval", "robolearn eval"),
        ("python -m robolearn calibrate", "eval", "python -m robolearn eval"),
    ],
)
def test_the_next_command_is_called_as_this_one(prog, verb, called):
    assert parsing.sibling(prog, verb) == called
