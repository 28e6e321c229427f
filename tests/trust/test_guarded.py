"""A gate in the loop: what is noted, what each fallback does, and that nothing changes before the first alarm."""

from functools import partial

import numpy as np
import pytest
import torch

from robolearn.policies.ensemble import Ensemble
from robolearn.policies.flow import FlowConfig
from robolearn.rollout.controller import Controller
from robolearn.rollout.env_config import EnvConfig
from robolearn.rollout.execution import Execution
from robolearn.rollout.roll_out import roll_out
from robolearn.trust.conformal.bands import CONSTANT, Form
from robolearn.trust.gate import Gate
from robolearn.trust.guarded import GuardedController
from robolearn.trust.monitor import Monitor
from robolearn.trust.motion import LinearDynamics
from robolearn.trust.scores.registry import SCORES
from robolearn.trust.scores.score import Score
from robolearn.trust.sets import SafetySet
from robolearn.types import INTERVENING
from tests.rollout.stub import Stub, drive

AVOID = EnvConfig("envs:robolearn/Avoid-v0", max_episode_steps=40)
EXECUTION = Execution(2)


class AtPlans(GuardedController):
    """Intervenes at given replannings of every episode."""

    plans = ()

    def _decide(self, slots, scores):
        return np.array([len(self.notes[slot]) in self.plans for slot in slots])


def upwards(history, noise):
    """Targets ahead of the observed number: 0.1, 0.2 ... farther."""
    return (history[-1] + 0.1 * torch.arange(1, 7))[:, None]


def driven(fallback, plans, num_steps=8, budget=None):
    controller = AtPlans(Stub(upwards), 1, EXECUTION, seed=0, monitor=None, fallback=fallback, budget=budget)
    controller.plans = plans
    return controller, drive(controller, num_steps)[:, 0]


def test_without_an_alarm_the_policy_acts():
    controller, actions = driven("hold", ())
    np.testing.assert_array_equal(actions, drive(Controller(Stub(upwards), 1, EXECUTION, seed=0), 8)[:, 0])
    assert controller.signals(0)[INTERVENING].tolist() == [False] * 4


def test_hold_repeats_the_last_executed_action():
    _, actions = driven("hold", (1, 2))
    np.testing.assert_allclose(actions, [0.1, 0.2, 0.2, 0.2, 0.2, 0.2, 6.1, 6.2], atol=1e-6)


def test_retreat_goes_back_along_what_was_executed_and_stays_at_the_start():
    _, actions = driven("retreat", (2, 3, 4), num_steps=12)
    np.testing.assert_allclose(actions, [0.1, 0.2, 2.1, 2.2, 2.2, 2.1, 0.2, 0.1, 0.1, 0.1, 10.1, 10.2], atol=1e-6)


@pytest.mark.parametrize("fallback", ["hold", "retreat"])
def test_an_intervention_before_any_action_stays_at_the_first_target(fallback):
    _, actions = driven(fallback, (0,), num_steps=2)
    np.testing.assert_allclose(actions, [0.1, 0.1], atol=1e-6)


def test_the_budget_ends_interventions():
    controller, actions = driven("hold", (1, 2, 3), budget=3)
    assert controller.signals(0)[INTERVENING].tolist() == [False, True, True, False]
    np.testing.assert_allclose(actions[6:], [6.1, 6.2], atol=1e-6)


def test_watching_changes_nothing():
    _, actions = driven("watch", (0, 1, 2, 3))
    np.testing.assert_array_equal(actions, driven("hold", ())[1])


def test_nothing_of_an_episode_is_carried_into_the_next_one_in_its_place():
    """Neither what it executed, nor what it spent, nor what was noted."""
    controller, _ = driven("hold", (1, 2, 3), budget=3)
    controller.plans = (0, 1, 2)
    actions = drive(controller, 6, episode=1)[:, 0]
    np.testing.assert_allclose(actions, [0.1, 0.1, 0.1, 0.1, 4.1, 4.2], atol=1e-6)
    assert controller.signals(0)[INTERVENING].tolist() == [True, True, False]


def stepped(controller, counts):
    """Act and observe, so many steps of each chunk; return the chunks."""
    controller.reset([0], [0], {"state": np.zeros((1, 1))})
    chunks = []
    for count in counts:
        chunks.append(controller.act(np.array([True]))[0, :, 0].copy())
        controller.observe({"state": np.zeros((1, 2, 1), np.float32)}, np.array([count]))
    return chunks


@pytest.mark.parametrize("fallback", ["hold", "retreat"])
def test_only_executed_actions_are_a_path(fallback):
    """Of the first chunk one action was executed."""
    controller = AtPlans(Stub(upwards), 1, EXECUTION, seed=0, monitor=None, fallback=fallback)
    controller.plans = (1,)
    np.testing.assert_allclose(stepped(controller, [1, 2])[1], [0.1, 0.1], atol=1e-6)


@pytest.mark.parametrize(("fallback", "begun"), [("hold", False), ("retreat", False), ("watch", True)])
def test_what_was_planned_is_void_after_an_intervention(fallback, begun):
    controller = AtPlans(Stub(upwards), 1, EXECUTION, seed=0, monitor=None, fallback=fallback)
    controller.plans = (1,)
    stepped(controller, [2, 2])
    assert controller.schedule.begun(np.array([0])).tolist() == [begun]


class Scripted(Monitor):
    """A monitor that reads its scores from a list."""

    def __init__(self, scores):
        self.scores, self.forgotten, self.begun = list(scores), [], []

    def watch(self, slots, obs, chunks):
        assert len(slots) == 1
        return {"stac": np.array([self.scores.pop(0)])}, None

    def reset(self, slots, episodes):
        self.begun.append((list(slots), list(episodes)))

    def forget(self, slots):
        self.forgotten.append(slots.tolist())


def scripted(scores, fallback="hold", form=CONSTANT, **choices):
    gate = Gate("stac", 8, threshold=2.0, release=1.0, form=form)
    monitor = Scripted(scores)
    return monitor, GuardedController(
        Stub(upwards), 1, EXECUTION, seed=0, monitor=monitor, gate=gate, fallback=fallback, **choices
    )


def test_an_intervention_lasts_until_the_release_and_the_next_episode_begins_without():
    monitor, controller = scripted([1.5, 2.5, 1.5, 1.5, 1.5, 2.5])
    drive(controller, 8)
    assert controller.signals(0)[INTERVENING].tolist() == [False, True, True, True]
    drive(controller, 4, episode=7)
    assert controller.signals(0)[INTERVENING].tolist() == [False, True]
    assert controller.signals(0)["stac"].tolist() == [1.5, 2.5]
    assert monitor.begun == [([0], [0]), ([0], [7])]


def test_a_band_follows_the_replannings_of_each_episode():
    """The same score alarms at the first replanning and not at the later ones, where 10 more is usual."""
    _, controller = scripted([3.0, 3.0, 12.5, 3.0, 3.0], form=Form((0.0, 10.0), (1.0, 1.0)))
    drive(controller, 6)
    assert controller.signals(0)[INTERVENING].tolist() == [True, False, True]
    drive(controller, 4, episode=7)
    assert controller.signals(0)[INTERVENING].tolist() == [True, False]


@pytest.mark.parametrize(("fallback", "forgets"), [("hold", True), ("retreat", True), ("watch", False)])
def test_a_plan_that_was_not_executed_is_forgotten(fallback, forgets):
    monitor, controller = scripted([0.0, 3.0, 0.0], fallback)
    drive(controller, 6)
    assert [slots for slots in monitor.forgotten if slots] == ([[0]] if forgets else [])


def test_a_budget_counts_the_steps_that_were_executed():
    """Of a last chunk of two steps one was executed; at 3 steps the gate is silent."""
    _, controller = scripted([3.0] * 4, budget=3)
    stepped(controller, [1, 2])
    assert controller.spent.tolist() == [3]
    controller.act(np.array([True]))
    assert controller.signals(0)[INTERVENING].tolist() == [True, True, False]


def either_way(history, noise):
    """Five hundredths to the left or to the right of zero, as the noise says."""
    return torch.sign(noise[0]) * torch.full((6, 1), 0.05)


RIGHT = SafetySet(LinearDynamics(np.array([[-1.0, 1.0, 0.0]])), "state", (0,), np.full(2, 0.01), height=1.0)


def within_set(episode, candidates=4, fallback="hold", **choices):
    """Actions of the first chunks where what is left of zero must not be touched, and the signals."""
    controller = GuardedController(
        Stub(either_way),
        1,
        Execution(2, candidates=candidates),
        seed=0,
        monitor=None,
        safety_set=RIGHT,
        fallback=fallback,
        **choices,
    )
    controller.distance = lambda positions: positions[..., 0]
    return drive(controller, 6, episode)[:, 0], controller.signals(0), controller.stopped[0]


def test_no_inadmissible_candidate_is_executed():
    """Of four candidates about two go left, also the first one; nearest to the rest of the last plan may be these."""
    shares, stops = [], 0
    for episode in range(60):
        actions, signals, stopped = within_set(episode)
        stops += stopped
        assert stopped == (signals["admissible"][0] == 0)
        if not stopped:
            np.testing.assert_allclose(actions, 0.05, atol=1e-6)
        assert (signals[INTERVENING] == (signals["admissible"] == 0)).all()
        shares.append(signals["admissible"])
    admissible = np.concatenate(shares)
    assert set(admissible) == {0, 0.25, 0.5, 0.75, 1}
    assert stops == 3


@pytest.mark.parametrize("budget", [None, 0])
def test_where_nothing_is_admissible_no_budget_ends_the_intervention(budget):
    """One candidate each: it goes left in half of the plans, and then the last action is held, if there is one."""
    ends = []
    for episode in range(10):
        actions, signals, stopped = within_set(episode, candidates=1, budget=budget)
        assert set(signals["admissible"]) <= {0.0, 1.0}
        assert stopped == (signals["admissible"][0] == 0)
        if not stopped:
            np.testing.assert_allclose(actions, 0.05, atol=1e-6)
        ends.append(bool(stopped))
    assert set(ends) == {True, False}


@pytest.fixture
def guarded(make_policy):
    """Roll a random policy out in Avoid with a gate of three members."""
    members = [make_policy(FlowConfig(steps=2), seed=seed) for seed in range(3)]

    def make(policy, num_envs, execution, *, seed, names, kind=GuardedController, **choices):
        monitor = Monitor(Ensemble(members), names, 8, num_envs, seed=seed, period=execution.period)
        return kind(policy, num_envs, execution, seed=seed, monitor=monitor, **choices)

    def run(num_envs=4, names=("disagreement", "stac"), num_episodes=6, **choices):
        return roll_out(
            members[0],
            AVOID,
            range(num_episodes),
            execution=EXECUTION,
            seed=7,
            num_envs=num_envs,
            make_controller=partial(make, names=names, **choices),
        )

    return run


def same(one, other, steps):
    return np.array_equal(one.actions[:steps], other.actions[:steps])


def test_scores_do_not_depend_on_the_number_of_environments(guarded):
    for one, other in zip(guarded(1), guarded(5), strict=True):
        assert same(one, other, None)
        for name, values in one.signals.items():
            np.testing.assert_array_equal(values, other.signals[name], err_msg=name)


def test_every_replanning_is_noted(guarded):
    for trajectory in guarded():
        assert {len(v) for v in trajectory.signals.values()} == {-(-len(trajectory) // 2)}
        assert trajectory.signals["stac"][0] == 0
        assert (trajectory.signals["disagreement"] != 0).all()


@pytest.mark.parametrize("fallback", ["hold", "replan", "retreat"])
def test_up_to_the_first_alarm_an_episode_is_as_without_a_gate(guarded, fallback):
    plain = guarded()
    threshold = float(np.quantile(np.concatenate([t.signals["disagreement"] for t in plain]), 0.95))
    gate = Gate("disagreement", 8, threshold, threshold)
    changed = 0
    for free, gated in zip(plain, guarded(gate=gate, fallback=fallback), strict=True):
        alarms = np.flatnonzero(gated.signals[INTERVENING])
        first = alarms[0] if len(alarms) else len(free.signals["stac"])
        assert same(free, gated, 2 * first)
        upto = free.signals["disagreement"][: first + 1]
        np.testing.assert_array_equal(gated.signals["disagreement"][: first + 1], upto)
        assert (upto[:first] <= threshold).all()
        changed += len(alarms) > 0 and not same(free, gated, None)
    assert changed


@pytest.mark.parametrize("fallback", ["watch", "replan"])
def test_scores_compare_plans_with_what_is_executed(guarded, fallback):
    """Also where another sample takes the place of the plan, which else would be compared with for nothing."""
    compared = []

    class Noting(GuardedController):
        def act(self, active):
            actions, slots = super().act(active), np.flatnonzero(active)
            executed = self.monitor.ensemble.normalize(torch.from_numpy(actions[slots]))
            compared.append(torch.equal(self.monitor.executed[slots][:, : actions.shape[1]], executed))
            return actions

    gate = Gate("disagreement", 8, -1.0, -1.0)
    guarded(names=("disagreement", "stac-single"), kind=Noting, gate=gate, fallback=fallback, num_episodes=4)
    assert all(compared)


def test_stop_ends_the_episode_as_a_failure(guarded):
    trajectories = guarded(gate=Gate("disagreement", 8, -1.0, -1.0), fallback="stop")
    assert {(t.reason, t.success, len(t)) for t in trajectories} == {("stopped", False, 0)}


def test_nan_scores_alarm(guarded, monkeypatch):
    monkeypatch.setitem(SCORES, "broken", Score("broken", lambda seen: torch.full((len(seen.known),), torch.nan)))
    trajectories = guarded(names=("broken",), gate=Gate("broken", 8, 1e9, 1e9), fallback="stop")
    assert {t.reason for t in trajectories} == {"stopped"}


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"names": ("surprise",)}, "'surprise' is unknown; choose from disagreement"),
        ({"names": ("exact-entropy",)}, "finite distribution, that of the mixture"),
        ({"names": ("dropout",)}, "no dropout"),
        ({"budget": -1}, "budget -1"),
    ],
)
def test_what_cannot_be_is_refused(guarded, choices, message):
    with pytest.raises(ValueError, match=message):
        guarded(**choices)


def test_one_member_cannot_disagree(make_policy):
    policy = make_policy(FlowConfig(steps=2))
    with pytest.raises(ValueError, match="train with `num_members`"):
        Monitor(Ensemble([policy]), ["disagreement"], 8, 1, seed=0, period=2)
    with pytest.raises(ValueError, match="exec_horizon below"):
        Monitor(Ensemble([policy]), ["stac"], 8, 1, seed=0, period=4)


@pytest.mark.parametrize("execution", [Execution(1, ensembling=0.1), Execution(2, delay=1)])
def test_a_gate_takes_whole_plans(execution):
    with pytest.raises(ValueError, match="no ensembling and no delay"):
        GuardedController(Stub(upwards), 1, execution, seed=0, monitor=None)
