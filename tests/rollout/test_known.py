"""A file that names an environment does not get a module imported that the user has not named."""

import sys

import gymnasium as gym
import pytest

from robolearn.commands.main import main as calibrate
from robolearn.data.attrs import StoreAttrs
from robolearn.data.writer import DemoWriter
from robolearn.rollout.env_config import EnvConfig
from robolearn.rollout.known import check_known
from robolearn.training.config import TrainConfig
from robolearn.training.run import DataFacts, Run
from tests.data.episodes import make_episode


@pytest.fixture
def evil(tmp_path, monkeypatch):
    """A module that leaves a file when it is imported."""
    left = tmp_path / "ran"
    (tmp_path / "evil_module.py").write_text(f"open({str(left)!r}, 'w').write('x')\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield left
    sys.modules.pop("evil_module", None)


@pytest.mark.parametrize(
    "env_id",
    [
        "evil_module:evil/Task-v0",
        "envs.evil_module:x-v0",
        ":x-v0:",
        "evil_module:robolearn/Avoid-v0",
        "a:evil_module:x-v0",
    ],
)
def test_unknown_modules_are_not_imported(evil, env_id):
    with pytest.raises(ValueError, match=r"config\.json names the environment .*`env\.id` yourself, or `trust`"):
        check_known(EnvConfig(env_id), "config.json")
    assert not evil.exists()


@pytest.mark.parametrize("env_id", ["envs:robolearn/Avoid-v0", "robolearn/Avoid-v0", "CartPole-v1", "no/Such-v0", None])
def test_known_ones_pass(env_id):
    check_known(EnvConfig(env_id, {"moved": 0.1, "kind": "sparse", "flag": True}), "config.json")


@pytest.mark.parametrize("env_id", ["GymV26Environment-v0", "envs:GymV21Environment-v0"])
def test_environments_that_make_others_are_refused(env_id):
    with pytest.raises(ValueError, match="of no known module"):
        check_known(EnvConfig(env_id, {"env_id": "evil_module:x"}), "config.json")


def test_what_a_stranger_registered_is_refused():
    gym.register(id="strange/Task-v0", entry_point="evil_module:Task")
    try:
        for env_id in ("strange/Task-v0", "envs:strange/Task-v0"):
            with pytest.raises(ValueError, match="of no known module"):
                check_known(EnvConfig(env_id), "config.json")
    finally:
        del gym.registry["strange/Task-v0"]


@pytest.mark.parametrize("value", ["evil_module:x", "../x.xml", "a/b", "C:\\x"])
def test_texts_are_plain_words(value):
    with pytest.raises(ValueError, match="no plain word"):
        check_known(EnvConfig("envs:robolearn/Avoid-v0", {"xml_file": value}), "config.json")


@pytest.mark.parametrize("value", [["a", "b/c"], {"xml": "../x"}, {"../x": 1}, [{"a": [["x:y"]]}]])
def test_text_that_may_be_a_path_is_refused_at_any_depth(value):
    with pytest.raises(ValueError, match=r"gives the environment scene = .*no plain word"):
        check_known(EnvConfig("envs:robolearn/Avoid-v0", {"scene": value}), "config.json")
    check_known(EnvConfig("envs:robolearn/Avoid-v0", {"scene": ["plain", {"words": [1, None, True]}]}), "config.json")


def test_what_the_file_adds_to_a_named_environment_is_looked_at():
    """Its module is the user's choice; a keyword argument of the file is not, until the user gives it."""
    filed = EnvConfig("evil_module:evil/Task-v0", {"xml": "../x.xml"})
    with pytest.raises(ValueError, match=r"xml = .*give `env\.kwargs` xml yourself"):
        check_known(filed, "config.json", EnvConfig(filed.id))
    check_known(filed, "config.json", EnvConfig(filed.id, {"xml": "mine.xml"}))
    check_known(filed, "config.json", EnvConfig("another:Task-v0"))


@pytest.fixture
def stranger(tmp_path):
    """A run directory whose config.json names the module."""
    run = Run.create(
        tmp_path / "run",
        TrainConfig(env=EnvConfig("evil_module:evil/Task-v0"), exec_horizon=1),
        DataFacts("x", "0", 0.1, 1, 1, ()),
    )
    return str(run.directory)


def test_eval_and_calibrate_import_nothing(evil, stranger, eval_main):
    for command in (lambda: eval_main([stranger]), lambda: calibrate(["calibrate", stranger])):
        with pytest.raises((ValueError, SystemExit)):
            command()
        assert not evil.exists()
    with pytest.raises(ValueError, match="which would run code of 'evil_module'"):
        eval_main([stranger])


@pytest.mark.parametrize("flags", [["--rollout-every", "1"], ["--symmetry", "augment"]])
def test_training_imports_nothing_that_only_the_store_names(evil, tmp_path, train_main, flags):
    store = DemoWriter.create(tmp_path / "x.zarr", attrs=StoreAttrs(env_id="evil_module:evil/Task-v0"))
    store.extend([make_episode(i, 9) for i in range(4)])
    with pytest.raises(ValueError, match="which would run code of 'evil_module'"):
        train_main(["--dataset.path", str(store.path), "--out", str(tmp_path / "run"), "--no-wandb", *flags])
    assert not evil.exists()


def test_an_environment_that_cannot_be_made_is_refused_before_training(tmp_path, train_main, tiny_flags, demos):
    out = tmp_path / "run"
    flags = [*tiny_flags, "--dataset.path", str(demos), "--steps", "2", "--rollout-every", "1", "--out", str(out)]
    with pytest.raises(ValueError, match="environment envs:robolearn/Nothing-v0"):
        train_main([*flags, "--env.id", "envs:robolearn/Nothing-v0"])
    assert not out.exists()
