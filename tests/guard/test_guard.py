"""A gate and a safety set opened together: what is covered, and what is counted."""

import dataclasses

import numpy as np
import pytest

from robolearn.guard.files import save_gate
from robolearn.guard.guard import Guard
from robolearn.guard.tube import calibrate_again, choosing
from robolearn.guard.tube_files import save_set
from robolearn.policies.ensemble import Ensemble
from robolearn.policies.flow import FlowConfig
from robolearn.safety.certificate import Calibration
from robolearn.types import INTERVENING
from tests.guard.test_files import SOURCE, calibrated_set, trajectory


@pytest.fixture(scope="module")
def confirmed():
    """A set that acted while it was calibrated."""
    first = calibrated_set()
    wide = calibrate_again(first, [trajectory(seed, noise=0.05) for seed in range(100, 140)], SOURCE)
    acting = choosing(SOURCE, wide.safety_set, "hold")
    found = calibrate_again(wide, [trajectory(seed) for seed in range(200, 240)], acting)
    assert found.confirmed
    return found, acting


@pytest.fixture
def opened(tmp_path, make_policy):
    """Open a gate that was calibrated on a source, and a set, both as they are used with the fallback."""

    def make(gate_source=None, set_of=None, source=SOURCE, fallback="hold"):
        if gate_source is not None:
            episodes = (tuple(range(30)), tuple(np.arange(30.0)), (True,) * 30)
            save_gate(tmp_path / "gate", Calibration(gate_source, "stac", 8, 0.2, None, *episodes))
        if set_of is not None:
            save_set(tmp_path / "tube", set_of)
        kinds = {"gate": gate_source is not None, "safety_set": set_of is not None}
        ensemble = Ensemble([make_policy(FlowConfig())])
        return Guard.open(tmp_path, ensemble, source, range(1000, 1010), fallback=fallback, budget=None, **kinds)

    return make


def gaps(guard):
    return [gap.split(":")[0] for gap in guard.gaps]


def test_both_are_covered_only_where_both_are(opened, confirmed):
    found, acting = confirmed
    other = dataclasses.replace(SOURCE, configuration="moved")
    assert gaps(opened(SOURCE)) == []
    assert gaps(opened(SOURCE, source=other)) == ["gate"]
    assert gaps(opened(None, found)) == []
    assert gaps(opened(None, calibrated_set())) == ["safety set"]
    assert gaps(opened(acting, found)) == []
    assert gaps(opened(SOURCE, found)) == ["gate"]
    assert gaps(opened(acting, found, fallback="stop")) == ["gate", "safety set"]
    assert [opened(*parts).covered for parts in ((acting, found), (SOURCE, found), (None, calibrated_set()))] == [
        True,
        False,
        False,
    ]


def rolled_out(seed, push=0.0, reason="success"):
    """An episode of a policy that a guard watched; pushed aside at its last step, in the middle of a chunk."""
    found = trajectory(seed, noise=0.0)
    found.obs["state"][-1] += push
    return dataclasses.replace(found, reason=reason, signals={INTERVENING: np.zeros(6, bool)})


def test_episodes_that_left_a_tube_are_counted(opened, confirmed):
    guard = opened(None, confirmed[0])
    runs = [rolled_out(0), rolled_out(1, push=1.0), rolled_out(2, push=np.nan, reason="unstable"), rolled_out(3)]
    runs += [rolled_out(4, push=1.0, reason="error: it broke")]
    summary = guard.summarize(runs, 4, {})
    assert (summary.tube.left.value, summary.tube.left.n) == (0.5, 4)
    assert summary.tube.promise.alpha == 0.1
    assert summary.promise is None
    assert summary.promised_alarms is None


def test_the_promise_on_alarms_is_the_gates_and_can_be_read_off_where_it_only_watches(opened, confirmed):
    found, acting = confirmed
    both = opened(acting, found).summarize([rolled_out(0)], 4, {})
    assert both.promise.alpha == 0.2
    assert both.promised_alarms is None
    watching = opened(SOURCE, fallback="watch").summarize([rolled_out(0)], 4, {})
    assert watching.promised_alarms.alpha == 0.2
    assert watching.tube is None
    elsewhere = opened(SOURCE, source=dataclasses.replace(SOURCE, configuration="moved"), fallback="watch")
    assert elsewhere.summarize([rolled_out(0)], 4, {}).promised_alarms is None
