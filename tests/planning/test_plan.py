"""The whole loop, on a point that is pushed along a line."""

import dataclasses
import json
import re
import shutil

import numpy as np
import pytest
import torch

from robolearn.commands.main import main
from robolearn.dynamics.config import CEMConfig, ICEMConfig
from robolearn.dynamics.ensemble import DynamicsEnsemble
from robolearn.dynamics.fit import Transitions, prediction_error
from robolearn.errors import UserError
from robolearn.nets.threads import one_thread
from robolearn.planning.config import PlanConfig
from robolearn.planning.directory import PlanRun, Steps
from robolearn.planning.outcomes import Outcomes
from robolearn.planning.plan import plan
from robolearn.rollout.env_config import EnvConfig
from tests.planning import point_envs

SEARCH = ICEMConfig(population=16, elites=4, iterations=2)
TIMES = ("seconds", "fit_seconds")
ENVS = "tests.planning.point_envs"


def config(out, env="Point", **changes):
    small = {"num_members": 2, "num_particles": 2, "hidden": 32, "fit_steps": 200, "lr": 0.01, "horizon": 6}
    settings = {"trials": 2, "search": SEARCH, **small, **changes}
    return PlanConfig(EnvConfig(f"tests.planning.point_envs:test/{env}-v0"), out, **settings)


def untimed(run):
    return [
        {name: value for name, value in dataclasses.asdict(result).items() if name not in TIMES}
        for result in run.results()
    ]


def contents(run):
    """All files but for times."""
    files = {}
    for path in sorted(path for path in run.directory.rglob("*") if path.is_file() and path.name != "config.json"):
        name = path.relative_to(run.directory).as_posix()
        content = path.read_bytes()
        if path.name == "result.json":
            content = {key: value for key, value in json.loads(content).items() if key not in TIMES}
        files[name] = content
    return files


@pytest.fixture(scope="module")
def planned(tmp_path_factory):
    return plan(config(tmp_path_factory.mktemp("planned") / "run", trials=3))


def copied(planned, tmp_path):
    shutil.copytree(planned.directory, tmp_path / "run")
    return tmp_path / "run"


def test_planning_beats_chance(planned):
    """A random episode costs 34, the first plan hardly less; who goes straight to 1 and stays pays 1."""
    random, *trials = planned.results()
    assert [result.kind for result in (random, *trials)] == ["random", *["planned"] * 3]
    assert random.total < -20
    assert trials[-2].total > -8
    assert trials[-1].total > -3


def test_results_are_of_the_episodes_and_their_seeds(planned):
    for number, result in enumerate(planned.results()):
        steps = planned.steps(number)
        assert (result.episode, result.seed) == (number, config("x").seed + number)
        assert result.total == pytest.approx(steps.rewards.sum())
        assert result.steps == len(steps.actions) == 15
        assert result.reason == "time"
        np.testing.assert_allclose(steps.rewards, point_envs.paid(None, None, steps.states[1:]), atol=1e-5)
        env = point_envs.Point()
        np.testing.assert_allclose(env.reset(seed=result.seed)[0], steps.states[0], atol=1e-6)
        for action, state in zip(steps.actions, steps.states[1:], strict=True):
            np.testing.assert_allclose(env.step(action)[0], state, atol=1e-5)
    assert planned.results()[0].model_error is None
    assert planned.results()[1].model_error > 0.3 > planned.results()[2].model_error


def test_the_model_is_of_all_episodes_and_saved_without_pickles(planned):
    assert planned.fitted() == 4
    ensemble = planned.model()
    assert isinstance(ensemble, DynamicsEnsemble)
    assert (ensemble.cfg.state_dim, ensemble.cfg.outcomes) == (3, 1)
    steps = planned.steps(3)
    states, actions = (torch.from_numpy(rows).float() for rows in (steps.states[:-1], steps.actions))
    padded = torch.cat([states, torch.zeros(15, 1)], dim=1)
    with torch.no_grad():
        after = ensemble(padded.expand(2, -1, -1), actions.expand(2, -1, -1))[0].mean(0).numpy()
    assert np.sqrt(np.square(after[:, 2] - steps.rewards).mean()) < 0.2
    assert np.sqrt(np.square(after[:, :2] - steps.states[1:]).mean()) < 0.2
    suffixes = {path.suffix for path in planned.directory.rglob("*") if path.is_file()}
    assert suffixes == {".json", ".safetensors"}


def test_the_error_is_of_the_model_that_planned(planned):
    """It had not seen the episode; the last one has, and is nearer."""
    steps, rewards = planned.steps(3), planned.steps(3).rewards[:, None].astype(np.float32)
    before = np.concatenate([steps.states[:-1], np.zeros((15, 1), np.float32)], axis=1)
    after = np.concatenate([steps.states[1:], rewards], axis=1)
    afterwards = prediction_error(planned.model(), Transitions(before, steps.actions, after))
    assert np.sqrt(np.square(afterwards[:2]).mean()) < planned.results()[3].model_error
    assert afterwards[2] < planned.results()[3].reward_error


def test_an_interrupted_run_goes_on_as_if_it_had_not_been(planned, tmp_path, monkeypatch):
    """Stopped in the middle of its second planned episode, then ended with fewer trials, then with all."""
    cfg = config(tmp_path / "run", env="Breaking", trials=3)
    whole = plan(dataclasses.replace(cfg, out=tmp_path / "whole"))
    monkeypatch.setattr(point_envs.Breaking, "countdown", 15 + 15 + 9)
    with pytest.raises(KeyboardInterrupt):
        plan(cfg)
    assert len(PlanRun(cfg.out).results()) == 2
    plan(dataclasses.replace(cfg, trials=2))
    seen = []
    resumed = plan(cfg, on_trial=seen.append)
    assert [result.episode for result in seen] == [3]
    assert contents(resumed) == contents(whole)


def test_a_run_that_is_complete_does_nothing(planned, tmp_path):
    out = copied(planned, tmp_path)
    before = {path: path.stat().st_mtime_ns for path in (*out.rglob("*.safetensors"), *out.rglob("result.json"))}
    seen = []
    plan(config(out, trials=3), on_trial=seen.append)
    plan(config(out, trials=1), on_trial=seen.append)
    assert seen == []
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert len(PlanRun(out).results()) == 4


def test_threads_change_nothing_and_are_left_as_they_were(tmp_path):
    cfg = config(tmp_path / "one", trials=1)
    one = plan(cfg)
    torch.set_num_threads(4)
    try:
        four = plan(dataclasses.replace(cfg, out=tmp_path / "four"))
        assert torch.get_num_threads() == 4
        with one_thread():
            assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(1)
    assert contents(four) == contents(one)


def test_another_seed_makes_other_episodes(planned, tmp_path):
    other = plan(config(tmp_path / "run", trials=0, seed=7))
    assert other.results()[0].seed == 7
    assert other.results()[0].total != planned.results()[0].total
    assert other.fitted() == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"propagation": "tsinf", "search": CEMConfig(16, 4, 2)},
        {"num_members": 1},
        {"probabilistic": False},
        {"reward": "tests.planning.point_envs:paid"},
    ],
    ids=["tsinf and cem", "single", "deterministic", "known reward"],
)
def test_the_controls_plan_too(planned, tmp_path, changes):
    run = plan(config(tmp_path / "run", **changes))
    random, *trials = run.results()
    assert random.total == planned.results()[0].total
    assert trials[-1].total > random.total + 10
    model = run.model().cfg
    assert model.num_members == changes.get("num_members", 2)
    assert model.probabilistic == changes.get("probabilistic", True)
    assert model.outcomes == (0 if "reward" in changes else 1)
    assert (trials[-1].reward_error is None) == ("reward" in changes)


def test_a_termination_keeps_planning_from_the_end(tmp_path):
    """Each step is paid until the point is beyond 0.5, which pushing at random brings about sooner or later."""
    cfg = config(
        tmp_path / "run", env="Mortal", trials=2, random_episodes=3, termination="tests.planning.point_envs:over"
    )
    results = plan(cfg).results()
    assert results[-1].total == results[-1].steps == 15
    assert results[-1].reason == "time"


@pytest.fixture(scope="module")
def cliff(tmp_path_factory):
    """Planned without being told where episodes end."""
    return plan(config(tmp_path_factory.mktemp("cliff") / "run", env="Cliff", trials=2, random_episodes=20))


def test_ends_are_learned_where_there_were_some(cliff, tmp_path):
    """Who has learned where the cliff is stays before it, and who takes it for no end goes over it each time."""
    results = cliff.results()
    assert [cliff.steps(number).ended for number in range(22)] == [result.steps < 15 for result in results]
    assert results[-1].steps == 15
    assert results[-1].total > 3
    assert cliff.model().cfg.outcomes == 2
    told = config(tmp_path / "run", env="Cliff", trials=2, random_episodes=20, termination=f"{ENVS}:never")
    assert max(result.steps for result in plan(told).results()[20:]) < 8


def test_an_end_is_predicted_where_it_comes(cliff):
    """Beyond 0.5 where it moves on and is pushed, and not where it is stopped before."""
    model = cliff.model()
    before, actions = torch.tensor([[0.48, 0.6, 0, 0], [0.3, 0.2, 0, 0]]), torch.tensor([[1.0], [-0.5]])
    with torch.no_grad():
        after = model(before.expand(2, -1, -1), actions.expand(2, -1, -1))[0].mean(0)
    outcomes = Outcomes(2, {}, end=True)
    assert outcomes.ended_at(before, actions, after).tolist() == [True, False]
    assert (outcomes.reward_of(before, actions, after) > 0.5).tolist() == [True, False]


def test_the_last_step_of_an_episode_that_ended_is_an_end():
    states, actions, rewards = np.arange(8, dtype=np.float32).reshape(4, 2), np.zeros((3, 1)), np.array([1.0, 2, 3])
    ended, cut = Steps(states, actions, rewards, ended=True), Steps(states, actions, rewards, ended=False)
    outcomes = Outcomes.from_episodes(2, {}, [cut, ended])
    assert outcomes.transitions(ended).next_states.tolist() == [[2, 3, 1, 0], [4, 5, 2, 0], [6, 7, 3, 1]]
    assert outcomes.transitions(cut).next_states[:, 3].tolist() == [0, 0, 0]
    assert outcomes.transitions(ended).states[:, 2:].tolist() == [[0, 0]] * 3
    assert Outcomes.from_episodes(2, {}, [cut]).count == 1
    known = Outcomes.from_episodes(2, {"termination": point_envs.over, "reward": point_envs.paid}, [ended])
    assert (known.count, known.tells_ends) == (0, True)


def test_a_success_that_is_gone_on_after_is_no_end(tmp_path):
    run = plan(config(tmp_path / "run", env="Goal", trials=0, random_episodes=2))
    assert [(result.success, result.steps, result.ended) for result in run.results()] == [(True, 15, False)] * 2
    assert run.model().cfg.events == 0
    stopped = config(tmp_path / "stopped", env="Goal", trials=0, random_episodes=2)
    stopped = plan(dataclasses.replace(stopped, env=dataclasses.replace(stopped.env, stop_on_success=True)))
    assert [(result.success, result.ended) for result in stopped.results()] == [(True, True)] * 2
    assert stopped.steps(0).ended


def test_a_model_of_before_there_were_ends_is_fitted_anew(cliff, tmp_path):
    """Its run goes on: to all episodes a model had been fitted that knows of no end."""
    out = copied(cliff, tmp_path)
    run, cfg = PlanRun(out), config(out, env="Cliff", trials=2, random_episodes=20)
    old = config(tmp_path / "old", env="Cliff", trials=0, random_episodes=20, termination=f"{ENVS}:never")
    run.keep(plan(old).model(), 22)
    assert plan(cfg).model().cfg.outcomes == 2


def test_a_dict_of_observations_makes_one_state(tmp_path, capsys):
    cfg = config(tmp_path / "run", env="Pictures", trials=0)
    run = plan(cfg)
    assert run.steps(0).states.tolist() == [[-i, i, 5] for i in range(16)]
    assert run.config().obs_keys == ("a", "b")
    assert "the state is a, b, without its images" in capsys.readouterr().err
    other = plan(dataclasses.replace(cfg, out=tmp_path / "other", obs_keys=("b", "a")))
    assert other.steps(0).states.tolist() == [[i, 5, -i] for i in range(16)]
    with pytest.raises(UserError, match="`obs_keys` image is an image; a state is made of numbers"):
        plan(dataclasses.replace(cfg, out=tmp_path / "third", obs_keys=("image",)))


def test_a_single_number_makes_a_state(tmp_path):
    run = plan(config(tmp_path / "run", env="Single", trials=1))
    assert run.steps(1).states.shape == (16, 1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"env": "Unbounded"}, "its actions have no bounds"),
        ({"env": "Huge"}, "its actions have no bounds"),
        ({"angles": (1, 1)}, "angle 1 is given twice"),
        ({"angles": (2,)}, r"angle 2 is no number of a state; choose from 0\.\.1"),
        ({"reward": "paid"}, "`reward` paid must be MODULE:NAME"),
        ({"reward": "tests.planning.no:paid"}, "`reward` tests.planning.no:paid: importing tests.planning.no failed"),
        ({"termination": "tests.planning.point_envs:no"}, "has no function no"),
        ({"obs_keys": ("x", "y")}, "has one unnamed observation"),
    ],
)
def test_what_can_be_refused_is_refused_before_anything_is_written(tmp_path, changes, message):
    with pytest.raises(UserError, match=message):
        plan(config(tmp_path / "run", **changes))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (
            "flat",
            r"`reward`: the function must return numbers of shape \(6, 16, 2\), one per transition; it returned f",
        ),
        ("failing", "`reward`: the function raised RuntimeError: no reward today"),
        ("unknown", "`reward`: the function returned NaN or infinity of states and actions that are finite"),
        ("over", r"must return numbers of shape .* it returned bool"),
    ],
)
def test_a_function_that_is_none_of_transitions_is_one_line(tmp_path, function, message):
    with pytest.raises(UserError, match=message):
        plan(config(tmp_path / "run", trials=1, reward=f"tests.planning.point_envs:{function}"))
    assert len(PlanRun(tmp_path / "run").results()) == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_particles": 3}, "`num_particles` 3 must be a multiple of the 2 `num_members`"),
        ({"trials": -1}, "`trials` -1"),
        ({"random_episodes": 0}, "`random_episodes` 0 must be at least 1"),
        ({"obs_keys": ("a", "a")}, "`obs_keys` a a: a key is given twice"),
        ({"lr": 0.0}, r"`lr` 0\.0 must be above 0"),
        ({"model": "simulator", "reward": "a:b"}, "leave out `reward` and `termination`"),
    ],
)
def test_a_wrong_configuration_is_refused(changes, message):
    with pytest.raises(UserError, match=message):
        config("x", **changes)


def test_other_settings_are_refused_and_overwritten_on_demand(planned, tmp_path):
    out = copied(planned, tmp_path)
    (out / "notes.txt").write_text("mine")
    (out / "trials" / "0001" / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match=r"`horizon` was 6, it is 5 now; .* `overwrite`"):
        plan(config(out, horizon=5))
    again = plan(config(out, horizon=5, trials=0, overwrite=True))
    assert len(again.results()) == again.fitted() == 1
    assert sorted(path.name for path in (out / "trials").iterdir()) == ["0000", "0001"]
    assert [path.name for path in (out / "trials" / "0001").iterdir()] == ["notes.txt"]
    assert (out / "notes.txt").read_text() == "mine"


def test_what_is_no_plan_run_is_left_alone(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine.txt").write_text("mine")
    with pytest.raises(UserError, match="exists and is no plan run; choose another `out`"):
        plan(config(tmp_path / "run"))
    with pytest.raises(UserError, match="is no plan run, so `overwrite` leaves it alone"):
        plan(config(tmp_path / "run", overwrite=True))
    (tmp_path / "run" / "config.json").write_text('{"run_version": 2}')
    with pytest.raises(UserError, match=r"is no plan run: its config\.json has no plan_version"):
        plan(config(tmp_path / "run"))
    assert (tmp_path / "run" / "mine.txt").read_text() == "mine"


def test_damaged_steps_are_one_line(planned, tmp_path):
    out = copied(planned, tmp_path)
    path = out / "trials" / "0001" / "steps.safetensors"
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(UserError, match=r"0001/steps\.safetensors: damaged"):
        plan(config(out, trials=4))


def test_the_command(tmp_path, capsys):
    words = ["plan", "tests.planning.point_envs:test/Point-v0", "icem", "--out", str(tmp_path / "run"), "--trials", "1"]
    small = ["--num-members", "2", "--num-particles", "2", "--hidden", "32", "--fit-steps", "200", "--lr", "0.01"]
    main(
        [
            *words,
            *small,
            "--horizon",
            "6",
            "--search.population",
            "16",
            "--search.elites",
            "4",
            "--search.iterations",
            "2",
        ]
    )
    first, second, last = capsys.readouterr().out.splitlines()
    assert first.startswith("random 0: return ")
    assert second.startswith("planned 1: return ")
    assert re.search(r"model error \d\.\d{3}, of rewards \d", second)
    assert last.endswith("of episode 1")
    assert PlanRun(tmp_path / "run").config() == dataclasses.replace(
        config(tmp_path / "run", trials=1), obs_keys=("observation",)
    )
