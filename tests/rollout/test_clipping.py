"""Actions beyond what an environment declares: clipped or not, counted, and said before the work and after it."""

import dataclasses
import json

import gymnasium as gym
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import robolearn as rl
from robolearn.data.attrs import StoreAttrs
from robolearn.data.writer import DemoWriter
from robolearn.errors import user_errors
from robolearn.evaluation import evaluate as evaluation
from robolearn.policies.regression import RegressionConfig
from robolearn.report.page import Report, write_report
from robolearn.report.terminal import format_table
from robolearn.rollout.clip_remarks import clip_problem, clip_remark
from robolearn.rollout.clipping import Clipped, beyond, named
from robolearn.rollout.controller import Controller
from robolearn.rollout.engine import run_episodes
from robolearn.rollout.env_config import EnvConfig
from robolearn.rollout.execution import Execution
from robolearn.rollout.making import opened_envs
from robolearn.rollout.metrics import summarize
from robolearn.rollout.pairs import Ended
from robolearn.rollout.replay import replay
from robolearn.rollout.roll_out import roll_out
from robolearn.rollout.trial import Trial
from robolearn.trust.files import _reading
from robolearn.types import Episode
from tests.report.test_terminal import rendered
from tests.rollout.stub import HORIZON, Stub
from tests.rollout.test_metrics import trajectory

LENGTH = 6
TOOK = []


class Elbow(gym.Env):
    """Declares -1 .. 1 of both joints and takes whatever comes, like gym-aloha; succeeds beyond 1.1."""

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012
    observation_space = gym.spaces.Dict({"state": gym.spaces.Box(-np.inf, np.inf, (1,), np.float32)})
    action_space = gym.spaces.Box(-1, 1, (2,), np.float32)

    def __init__(self, render_mode=None):
        self.render_mode, self.at = render_mode, np.zeros(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.start = np.array([self.np_random.uniform()], np.float32)
        return {"state": self.start}, {}

    def step(self, action):
        TOOK.append(np.array(action))
        return {"state": self.start}, float(action[1]), False, False, {"success": bool(action[1] > 1.1)}

    def render(self):
        return np.zeros((16, 16, 3), np.uint8)


gym.register("test/Elbow-v0", entry_point=Elbow, max_episode_steps=LENGTH)
ELBOW = EnvConfig("test/Elbow-v0")
STRAIGHT = dataclasses.replace(ELBOW, clip=False)


def act(cfg, *numbers, episodes=2):
    """Episodes of a policy that always gives these numbers, and what the environment got."""
    TOOK.clear()
    policy = Stub(lambda *_: torch.tensor(numbers).expand(HORIZON, -1), obs_horizon=1, action_dim=len(numbers))
    controller = Controller(policy, 1, Execution(2), seed=0)
    with opened_envs(cfg, 1, ("state",)) as envs:
        envs.fit({"state": (1,)}, len(numbers), {})
        return run_episodes(envs, controller, range(episodes)), np.unique(TOOK, axis=0).tolist()


@given(
    st.lists(st.tuples(st.floats(-1e4, 1e4), st.floats(1e-3, 1e4)), min_size=1, max_size=4),
    st.sampled_from([-1.0, 1.0]),
)
def test_rounding_is_not_beyond_and_a_hundredth_of_the_range_is(ranges, side):
    low = np.array([one for one, _ in ranges])
    space = gym.spaces.Box(low, low + np.array([width for _, width in ranges]), dtype=np.float64)
    end = space.high if side > 0 else space.low
    width = space.high - space.low
    inside = np.stack([end, end + side * 1e-6 * width, (space.low + space.high) / 2, end.astype(np.float32)])
    assert not beyond(inside, space).any()
    far = np.maximum(0.01 * width, 1e-5 * np.abs(end))
    assert beyond((end + side * far)[None], space).all()


def test_a_space_may_be_open_on_one_side_or_both():
    space = gym.spaces.Box(np.array([0, -np.inf, -np.inf]), np.array([np.inf, np.inf, 5.0]), dtype=np.float64)
    assert beyond(np.array([[-1e-6, -1e9, 5.000001], [-0.01, 1e9, 5.1]]), space).tolist() == [
        [False, False, False],
        [True, False, True],
    ]


def test_actions_are_clipped_unless_that_is_not_wanted():
    clipped, took = act(ELBOW, 0.5, 1.25)
    assert took == [[0.5, 1.0]]
    assert [t.success for t in clipped] == [False, False]
    straight, took = act(STRAIGHT, 0.5, 1.25)
    assert took == [[0.5, 1.25]]
    assert [t.success for t in straight] == [True, True]
    assert [t.clipped.any() for t in (*clipped, *straight)] == [True, True, False, False]
    assert clipped[0].clipped.tolist() == [[False, True]] * LENGTH


@pytest.mark.parametrize("cfg", [ELBOW, STRAIGHT])
def test_a_video_shows_what_was_executed(cfg):
    (one, _), _ = act(cfg, 0.5, 1.25)
    assert len(list(replay(cfg, one))) == LENGTH + 1


def test_a_driver_of_chunks_clips_by_itself(make_policy, capsys):
    """So that option changes nothing there, which is said, and what is counted stays true."""
    cfg = EnvConfig("envs:robolearn/Avoid-v0", max_episode_steps=4, clip=False)
    roll_out(make_policy(RegressionConfig()), cfg, range(1), execution=Execution(4), seed=9)
    assert "clips them itself: `env.no_clip` changes nothing" in capsys.readouterr().err
    assert "its driver clips them" in clip_problem(cfg, (-9.0, -9.0), (9.0, 9.0))


def shares(rows):
    """An episode of which these numbers were clipped."""
    marks = np.array(rows, bool)
    return dataclasses.replace(
        trajectory(0, steps=len(marks)), actions=np.zeros(marks.shape, np.float32), clipped=marks
    )


def test_shares_are_of_all_steps_and_of_all_numbers():
    one, other = shares([[0, 0, 1], [1, 0, 1]]), shares([[0, 0, 0]] * 8)
    clipped = Clipped.from_trajectories([one, other])
    assert (clipped.steps, clipped.numbers, clipped.dims) == (0.2, 0.1, (2, 0))
    assert Clipped.from_trajectories([other]) == Clipped.from_trajectories([trajectory(0)]) == Clipped()
    broken = dataclasses.replace(shares([[1, 1, 1]] * 10), broken=True, reason="broken: x")
    assert summarize([one, other, broken], num_modes=None, control_dt=0.1).clipped == clipped
    assert Ended.from_trajectory(one, tells_success=True).clipped == 1.0
    assert named(tuple(range(9))) == "action[0, 1, 2, 3, 4, 5] and 3 more"


def test_the_share_is_shown_where_there_is_one(tmp_path):
    summary = summarize([shares([[0, 0, 1], [0, 0, 0]])], num_modes=None, control_dt=0.1)
    row = next(line for line in rendered(format_table(summary), width=80).splitlines() if "clipped" in line)
    assert row.split() == ["clipped", "0.500", "of", "the", "steps"]
    write_report(tmp_path / "page.html", Report("x", "run", summary, [shares([[0, 0, 1], [0, 0, 0]])], "eval", 0.1))
    assert "Steps with clipped actions" in (tmp_path / "page.html").read_text()
    without = summarize([shares([[0, 0, 0]] * 5)], num_modes=None, control_dt=0.1)
    assert "clipped" not in rendered(format_table(without), width=100)


def test_what_is_demonstrated_beyond_the_space_is_named():
    said = clip_problem(ELBOW, (-0.5, -0.2), (0.5, 1.2))
    assert "action[1] of 2 numbers leave its action space; [1] goes from -0.2 to 1.2, declared are -1 to 1" in said
    assert said.endswith("they are clipped, and `env.no_clip` sends them as they are")
    assert clip_problem(ELBOW, (-1.0, -1 - 1e-6), (1.0, 1 + 1e-6)) is None
    assert clip_problem(STRAIGHT, (-9.0, -9.0), (9.0, 9.0)) is None
    assert clip_problem(ELBOW, (), ()) is None  # a run of before this was kept
    assert clip_remark(ELBOW, Clipped(0.001, 0.001, (1,))) is None
    assert "2 % of the steps had actions beyond what it declares (action[1])" in clip_remark(
        ELBOW, Clipped(0.02, 0.01, (1,))
    )


def test_a_gate_is_calibrated_for_one_of_both():
    assert _reading(ELBOW) == _reading(dataclasses.replace(ELBOW, clip=True)) == []
    assert _reading(STRAIGHT) == [{"unclipped": True}]


def test_the_same_environment_is_acted_in_as_it_was_trained_in():
    assert EnvConfig().with_defaults(STRAIGHT).clip is False
    assert EnvConfig(clip=True).with_defaults(STRAIGHT).clips
    assert not EnvConfig(clip=False).with_defaults(ELBOW).clips
    assert EnvConfig("other:x-v0").with_defaults(STRAIGHT).clips
    assert not EnvConfig(stop_on_success=False).with_defaults(EnvConfig("a:b", stop_on_success=True)).stops


@pytest.fixture
def store(tmp_path, monkeypatch):
    """Demonstrations whose second joint goes to 1.25; pages, videos and latency are left out, as they take long."""
    monkeypatch.setattr(evaluation, "write_report", lambda *_: None)
    monkeypatch.setattr(evaluation, "measure_latency", lambda *_, **__: {})
    monkeypatch.setattr(Trial, "film_problem", lambda _: "not here")
    attrs = StoreAttrs(env_id=ELBOW.id, control_dt=0.1, obs_keys=("state",))
    state = np.linspace(0, 1, 20, dtype=np.float32)[:, None]
    actions = np.concatenate([state - 0.5, 0.25 + state], axis=1).astype(np.float32)
    actions[1:, 1] = 1.25
    DemoWriter.create(tmp_path / "elbow.zarr", attrs=attrs).extend([Episode({"state": state}, actions)] * 4)
    return tmp_path / "elbow.zarr"


def evaluated(eval_main, run, *flags):
    eval_main([str(run), "--trust", "--episodes", "2", "--videos", "0", "--device", "cpu", *flags])
    return json.loads((run / "eval" / "summary.json").read_text())["summary"]["clipped"]


def test_a_run_says_at_its_start_and_at_its_end_that_it_is_clipped(
    store, tmp_path, tiny_flags, train_main, eval_main, capsys
):
    out = tmp_path / "run"
    flags = [*tiny_flags, "--dataset.path", str(store), "--steps", "2", "--rollout-every", "2", "--trust"]
    with user_errors():
        train_main([*flags, "--rollout-episodes", "1", "--out", str(out)])
    said = capsys.readouterr().err
    assert said.count("declares less than was demonstrated: action[1]") == 1
    assert said.count("--env.no-clip") == 1
    assert rl.Run.open(out).data().action_high == (0.5, 1.25)
    written = json.loads((out / "config.json").read_text())
    del written["env"]["clip"]
    written["env"]["stop_on_success"] = False  # as a run of before these could be left open
    (out / "config.json").write_text(json.dumps(written))
    clipped = evaluated(eval_main, out)
    text = capsys.readouterr()
    assert text.err.count("declares less than was demonstrated: action[1]") == 1
    assert text.err.count("of the steps had actions beyond what it declares") == 1
    assert "of the steps" in text.out
    assert clipped["steps"] > 0.05
    assert clipped["dims"][0] == 1
    assert evaluated(eval_main, out, "--env.no-clip") == {"steps": 0.0, "numbers": 0.0, "dims": []}
    assert "clip" not in capsys.readouterr().err
    train_main([*flags, "--rollout-every", "0", "--env.no-clip", "--out", str(tmp_path / "straight")])
    assert evaluated(eval_main, tmp_path / "straight")["steps"] == 0
    assert evaluated(eval_main, tmp_path / "straight", "--env.clip")["steps"] > 0.05
