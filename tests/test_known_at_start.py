"""What can be known before the work is said before it: of environments, their packages, renderers, and of policies."""

import dataclasses
import re
import sys
import time

import gymnasium as gym
import numpy as np
import pytest

import robolearn as rl
from robolearn.commands.main import main
from robolearn.data.demonstrator import Demonstrator
from robolearn.data.store import DemoStore
from robolearn.doctor.account import inspect
from robolearn.evaluation import compare as comparing
from robolearn.evaluation import evaluate as evaluation
from robolearn.modules import MissingError, import_home
from robolearn.planning.functions import load_function
from robolearn.rollout import making
from robolearn.rollout import roll_out as rolling_out
from robolearn.rollout.env_config import EnvConfig
from robolearn.rollout.environments import make_env
from robolearn.rollout.trial import opened_trial
from robolearn.training.assemble import open_demos
from robolearn.training.train import env_remark, obs_remark, prepare_env
from robolearn.trust import calibrate as calibrating
from tests.rollout import plain_env

PLAIN = EnvConfig("test/Plain-v0")
BROKEN = {
    "raise ImportError('libGL.so.1: cannot open shared object file')": "ImportError: libGL.so.1",
    "raise OSError(2, 'no such library', 'libx.so')": "FileNotFoundError: libx.so: no such library",
    "import not_there_at_all": "No module named 'not_there_at_all'.*; install not_there_at_all",
    "def f(:": "SyntaxError: invalid syntax",
    "print('I need a display'); import sys; sys.exit(3)": "SystemExit: 3, after it said 'I need a display'",
    "1 / 0": "ZeroDivisionError",
}


@pytest.fixture
def config(demos, tmp_path):
    """A training that costs nothing."""
    dataset = rl.DatasetConfig((demos,), validation_fraction=0.2)
    return rl.TrainConfig(
        dataset=dataset, steps=2, batch_size=4, action_horizon=4, exec_horizon=2, wandb=False, out=tmp_path / "run"
    )


def prepared(config, *, trust=False):
    return prepare_env(config, open_demos(config), trust=trust)


def rolling(config, env_id):
    return dataclasses.replace(config, env=EnvConfig(env_id), rollout_every=1, rollout_episodes=1)


@pytest.mark.parametrize("code", BROKEN)
def test_a_module_that_cannot_be_imported_is_one_line(code, tmp_path, monkeypatch, capsys):
    (tmp_path / "broken_home.py").write_text(f"{code}\n")
    monkeypatch.syspath_prepend(tmp_path)
    for act in (import_home, lambda name: make_env(EnvConfig(name)), lambda name: Demonstrator(name, 1)):
        with pytest.raises(
            MissingError, match=rf"environment broken_home:x-v0: .*broken_home.*{BROKEN[code]}"
        ) as caught:
            act("broken_home:x-v0")
        assert len(str(caught.value).splitlines()) == 1
    assert capsys.readouterr() == ("", "")


def test_a_module_that_talks_does_not_talk_into_results(tmp_path, monkeypatch, capsys):
    (tmp_path / "talking_home.py").write_text("print('hello')\n")
    monkeypatch.syspath_prepend(tmp_path)
    import_home("talking_home:x-v0")
    assert capsys.readouterr() == ("", "hello\n")


@pytest.mark.parametrize(
    ("env_id", "how"),
    [("gym_pusht.nowhere:x", r"robolearn\[pusht\]"), ("not_there_at_all:x/Y-v0", "install the package that has it")],
)
def test_what_is_not_installed_is_named(env_id, how, monkeypatch):
    monkeypatch.setitem(sys.modules, "gym_pusht", plain_env)
    with pytest.raises(MissingError, match=f"is not installed; .*{how}"):
        import_home(env_id)


def test_a_module_beside_you_is_told_from_one_that_is_not_installed(tmp_path, monkeypatch, capsys):
    """An installed command does not look there, where a tutorial tells to save it."""
    (tmp_path / "lies_here.py").write_text("1 / 0")
    (tmp_path / "folder_here").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    how = "lies in the current folder, where Python does not look; put PYTHONPATH=. before the command"
    with pytest.raises(MissingError, match=f"^environment lies_here:x-v0: the module lies_here {how}$"):
        import_home("lies_here:x-v0")
    with pytest.raises(rl.UserError, match=f"^`reward` lies_here:cost: the module lies_here {how}$"):
        load_function("lies_here:cost", "reward")
    with pytest.raises(SystemExit, match="2"):
        main(["train", "--plugin", "lies_here"])
    assert f"error: --plugin lies_here: the module lies_here {how}\n" in capsys.readouterr().err
    assert env_remark(EnvConfig("lies_here:x-v0")) == (
        f"environment lies_here:x-v0, which an evaluation needs: the module lies_here {how}"
    )
    monkeypatch.setattr(sys, "path", [*sys.path, ""])  # as python -m has it
    with pytest.raises(MissingError, match="ZeroDivisionError"):
        import_home("lies_here:x-v0")
    with pytest.raises(MissingError, match=r"the module folder_here\.more is not installed"):
        import_home("folder_here.more:x-v0")


def collect_two(env_id):
    rl.collect(env_id, 2, "demos.zarr")


@pytest.mark.parametrize("make", [collect_two, lambda env_id: make_env(EnvConfig(env_id))], ids=["collect", "act"])
def test_a_module_behind_another_of_its_name_is_named(make, tmp_path, monkeypatch):
    """Many have a folder `envs` of their own, which is ours for an installed command, and theirs for python -m."""
    (tmp_path / "installed").mkdir()
    for file in ("registers_two.py", "installed/registers_two.py", "registers_one.py"):
        (tmp_path / file).write_text("", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path / "installed"), *sys.path])  # as an installed command has it
    first, other = (re.escape(str(tmp_path / file)) for file in ("installed/registers_two.py", "registers_two.py"))
    said = f"the module registers_two was taken from {first}, not from {other}; rename one of them$"
    with pytest.raises(MissingError, match=rf"^environment registers_two:my/Task-v0: NamespaceNotFound: .*; {said}"):
        make("registers_two:my/Task-v0")
    monkeypatch.setattr(sys, "path", ["", *sys.path])  # as python -m has it
    with pytest.raises(MissingError, match=r"proper package for my\?$"):
        make("registers_one:my/Task-v0")
    for name in ("registers_one", "registers_two"):
        sys.modules.pop(name)


def test_a_program_says_whose_choice_an_environment_is(config):
    """The configuration may have come from the run of a stranger."""
    config, demos = rolling(config, PLAIN.id), open_demos(config)
    with pytest.raises(rl.UserError, match=r"^the configuration names the environment 'test/Plain-v0'"):
        prepare_env(config, demos, trust=False)
    assert prepare_env(config, demos, trust=False, env_given=True)[0] == config


def test_a_training_goes_on_without_an_environment_that_is_not_installed(config, capsys):
    run = rl.train(rolling(config, "not_there_at_all:x/Y-v0"))
    said = [line for line in capsys.readouterr().err.splitlines() if "not_there_at_all" in line]
    assert len(said) == 1
    assert "goes on without rollouts" in said[0]
    assert (run.last_step(), run.config().rollout_every) == (2, 0)


def test_a_training_says_what_an_evaluation_will_lack(config, write_demos, tmp_path, capsys):
    assert prepared(dataclasses.replace(config, env=EnvConfig("not_there_at_all:x"))) == (
        dataclasses.replace(config, env=EnvConfig("not_there_at_all:x")),
        False,
    )
    assert "not_there_at_all is not installed" in capsys.readouterr().err
    nameless = rl.DatasetConfig((write_demos(tmp_path / "nameless.zarr", env_id=None),))
    prepared(dataclasses.replace(config, dataset=nameless))
    assert capsys.readouterr().err.count("name no environment") == 1
    prepared(config)
    assert capsys.readouterr().err == ""


def test_a_training_says_what_a_policy_sees_where_nobody_chose(config, tmp_path, capsys):
    rng = np.random.default_rng(0)
    episodes = [
        rl.Episode({key: rng.normal(size=(20, 2)) for key in ("force", "state")}, rng.normal(size=(20, 2)))
        for _ in range(3)
    ]
    paths = [tmp_path / name for name in ("silent.zarr", "declared.zarr", "single.zarr")]
    for path, attrs in zip(paths, (rl.StoreAttrs(), rl.StoreAttrs(obs_keys=("state",)), rl.StoreAttrs()), strict=True):
        kept = (
            [dataclasses.replace(e, obs={"state": e.obs["state"]}) for e in episodes] if path == paths[2] else episodes
        )
        rl.DemoWriter.create(path, attrs=attrs).extend(kept)
    silent, declared, single = (dataclasses.replace(config.dataset, path=(path,)) for path in paths)
    said = f"{paths[0]} declares no observations: the policy sees state and not force; `dataset.obs_keys` chooses"
    chosen = dataclasses.replace(silent, obs_keys=("state",))
    made = dataclasses.replace(silent, obs=("state=force+state",))
    for dataset, expected in ((silent, said), (declared, None), (single, None), (chosen, None), (made, None)):
        asked = dataclasses.replace(config, dataset=dataset)
        assert obs_remark(asked, open_demos(asked)) == expected
    rl.train(dataclasses.replace(config, dataset=silent))
    assert capsys.readouterr().err.count(f"note: {said}\n") == 1


def test_an_environment_that_does_not_fit_is_refused_before_data_are_read(config, monkeypatch):
    monkeypatch.setattr(DemoStore, "slabs", lambda *_: pytest.fail("read"))
    with pytest.raises(rl.UserError, match="CartPole"):
        rl.train(rolling(config, "CartPole-v1"))


def test_a_policy_that_cannot_be_built_is_refused_before_data_are_read(config, monkeypatch):
    monkeypatch.setattr(DemoStore, "slabs", lambda *_: pytest.fail("read"))
    dataset = dataclasses.replace(config.dataset, angles=("state:9",))
    with pytest.raises(rl.UserError, match="angle state"):
        rl.train(dataclasses.replace(config, dataset=dataset))


def film_problem(env):
    with opened_trial(env, ("state",), films=True) as trial:
        return trial.film_problem()


def test_a_renderer_that_fails_is_found_out(monkeypatch):
    assert film_problem(PLAIN) is None
    assert film_problem(EnvConfig("envs:robolearn/Avoid-v0")) is None  # whose driver renders nothing
    monkeypatch.setattr(plain_env.Plain, "render", lambda _: 1 / 0)
    assert film_problem(PLAIN) == "ZeroDivisionError: division by zero"
    monkeypatch.setattr(plain_env.Plain, "render", lambda _: None)
    assert film_problem(PLAIN) == "render returned None, no frame"
    monkeypatch.setattr(plain_env.Plain, "render", lambda _: time.sleep(9))
    assert film_problem(dataclasses.replace(PLAIN, timeout=0.2)) == "render took longer than 0.2 s"


def test_an_environment_that_cannot_be_made_with_a_renderer_is_made_without(made, monkeypatch):
    env = EnvConfig("test/Blind-v0")
    gym.register(env.id, entry_point=lambda render_mode=None: 1 / 0 if render_mode else plain_env.Plain())
    with opened_trial(env, ("state",), films=True) as trial:
        trial.fit({"state": (4,)}, 2, {})
        assert trial.starts_remark(range(3)) is None
        assert trial.film_problem() == "UserError: environment test/Blind-v0: ZeroDivisionError: division by zero"
    assert made == [env.id] * 2


@pytest.fixture
def made(monkeypatch):
    """Ids of the environments that were made."""
    ids, make = [], gym.make
    monkeypatch.setattr(making, "_KNOWN", {})
    monkeypatch.setattr(gym, "make", lambda name, **kwargs: (ids.append(name), make(name, **kwargs))[1])
    return ids


@pytest.mark.long
def test_one_copy_answers_what_is_asked_before_the_work(trained_pair, demos, config, made, monkeypatch):
    """Some environments take ten seconds to be made."""

    def work(*_, **__):
        raise rl.UserError("the work begins")

    for room in (evaluation, calibrating):
        monkeypatch.setattr(room, "roll_out", work)
    monkeypatch.setattr(comparing, "attached_envs", work)
    acts = [
        lambda: rl.evaluate(trained_pair, rl.EvalConfig(episodes=20, videos=3, env=PLAIN, device="cpu")),
        lambda: rl.calibrate(trained_pair, rl.CalibrateConfig(episodes=20, env=PLAIN, device="cpu")),
        lambda: rl.compare(trained_pair, trained_pair, rl.CompareConfig(env=PLAIN, device="cpu")),
    ]
    for act in acts:
        making._KNOWN.clear()
        made.clear()
        with pytest.raises(rl.UserError, match="the work begins"):
            act()
        assert made == [PLAIN.id]
    making._KNOWN.clear()
    made.clear()
    assert prepared(rolling(config, PLAIN.id), trust=True)[1]
    assert made == [PLAIN.id]
    made.clear()
    inspect(demos, env=PLAIN)
    assert made == [PLAIN.id]


def test_an_evaluation_says_so_before_it_rolls_out(trained_pair, monkeypatch, capsys):
    monkeypatch.setattr(plain_env.Plain, "render", lambda _: 1 / 0)
    monkeypatch.setattr(evaluation, "roll_out", lambda *_, **__: pytest.fail("rolled out"))
    for videos, said in ((3, 1), (0, 0)):
        with pytest.raises(pytest.fail.Exception, match="rolled out"):
            rl.evaluate(trained_pair, rl.EvalConfig(episodes=1, videos=videos, env=PLAIN, device="cpu"))
        assert capsys.readouterr().err.count("no videos can be made (ZeroDivisionError") == said


def test_few_starts_are_known_before_anything_is_rolled_out(trained_pair, monkeypatch, capsys):
    """It is said what an evaluation, or a calibration, will be worth."""
    monkeypatch.setattr(evaluation, "roll_out", lambda *_, **__: pytest.fail("rolled out"))
    for kwargs, said in (({"count": 5}, "5 distinct starts for the first 16 seeds"), ({}, None)):
        cfg = rl.EvalConfig(episodes=20, videos=0, env=EnvConfig(PLAIN.id, kwargs), device="cpu")
        with pytest.raises(pytest.fail.Exception, match="rolled out"):
            rl.evaluate(trained_pair, cfg)
        told = capsys.readouterr().err
        assert told == "" if said is None else said in told
    monkeypatch.setattr(rolling_out, "run_episodes", lambda *_, **__: pytest.fail("rolled out"))
    cfg = rl.CalibrateConfig(env=EnvConfig(PLAIN.id, {"count": 5}), episodes=20, device="cpu")
    with pytest.raises(pytest.fail.Exception, match="rolled out"):
        rl.calibrate(trained_pair, cfg)
    assert "5 distinct starts for the first 16 seeds" in capsys.readouterr().err


def test_an_environment_fits_or_is_refused():
    with opened_trial(PLAIN, ("state",)) as trial:
        trial.fit({"state": (4,)}, 2, {})
        for shapes, actions in (({"state": (3,)}, 2), ({"state": (4,)}, 3)):
            with pytest.raises(rl.UserError):
                trial.fit(shapes, actions, {})
    with pytest.raises(rl.UserError), opened_trial(PLAIN, ("other",)):
        pass
