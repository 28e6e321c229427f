"""A gate and a safety set opened together: what is covered, and what is counted."""

import dataclasses
import io

import numpy as np
import pytest
from rich.console import Console

from robolearn.policies.ensemble import Ensemble
from robolearn.policies.flow import FlowConfig
from robolearn.report.page import _gate_cards
from robolearn.report.terminal import format_table
from robolearn.rollout.metrics import summarize
from robolearn.trust.calibrated_gate import ThresholdCalibration
from robolearn.trust.calibrated_set import calibrate_again, choosing
from robolearn.trust.conformal.thresholds import exceeding_spread
from robolearn.trust.files import save_gate, save_set
from robolearn.trust.guard import Guard
from robolearn.trust.summary import Promise
from robolearn.types import INTERVENING
from tests.trust.test_files import SOURCE, calibrated_set, trajectory


@pytest.fixture(scope="module")
def confirmed():
    """A set that acted while it was calibrated."""
    first = calibrated_set()
    wide = calibrate_again(first, [trajectory(seed, noise=0.05) for seed in range(100, 140)], SOURCE)
    acting = choosing(SOURCE, wide.safety_set, "hold")
    tube = calibrate_again(wide, [trajectory(seed) for seed in range(200, 240)], acting)
    assert tube.confirmed
    return tube, acting


@pytest.fixture
def opened(tmp_path, make_policy):
    """Open a gate that was calibrated on a source, and a set, both as they are used with the fallback."""

    def make(gate_source=None, set_of=None, source=SOURCE, fallback="hold"):
        if gate_source is not None:
            episodes = (tuple(range(30)), tuple(np.arange(30.0)), (True,) * 30)
            save_gate(tmp_path / "gate", ThresholdCalibration(gate_source, "stac", 8, 0.2, None, *episodes))
        if set_of is not None:
            save_set(tmp_path / "tube", set_of)
        kinds = {"gate": gate_source is not None, "safety_set": set_of is not None}
        ensemble = Ensemble([make_policy(FlowConfig())])
        return Guard.open(tmp_path, ensemble, source, range(1000, 1010), fallback=fallback, budget=None, **kinds)

    return make


def gaps(guard):
    return [gap.split(":")[0] for gap in guard.gaps]


def test_both_are_covered_only_where_both_are(opened, confirmed):
    tube, acting = confirmed
    other = dataclasses.replace(SOURCE, configuration="moved")
    assert gaps(opened(SOURCE)) == []
    assert gaps(opened(SOURCE, source=other)) == ["gate"]
    assert gaps(opened(None, tube)) == []
    assert gaps(opened(None, calibrated_set())) == ["safety set"]
    assert gaps(opened(acting, tube)) == []
    assert gaps(opened(SOURCE, tube)) == ["gate"]
    assert gaps(opened(acting, tube, fallback="stop")) == ["gate", "safety set"]
    assert [opened(*parts).covered for parts in ((acting, tube), (SOURCE, tube), (None, calibrated_set()))] == [
        True,
        False,
        False,
    ]


def rolled_out(seed, push=0.0, reason="success"):
    """An episode of a policy that a guard watched; pushed aside at its last step, in the middle of a chunk."""
    episode = trajectory(seed, noise=0.0)
    episode.obs["state"][-1] += push
    return dataclasses.replace(
        episode, reason=reason, broken=reason.startswith("broken"), signals={INTERVENING: np.zeros(6, bool)}
    )


def test_episodes_that_left_a_tube_are_counted(opened, confirmed):
    guard = opened(None, confirmed[0])
    runs = [rolled_out(0), rolled_out(1, push=1.0), rolled_out(2, push=np.nan, reason="unstable"), rolled_out(3)]
    runs += [rolled_out(4, push=1.0, reason="broken: it fell")]
    summary = guard.summarize(runs, 4, {})
    assert (summary.tube.left.value, summary.tube.left.n) == (0.5, 4)
    assert summary.tube.promise.alpha == 0.1
    assert summary.promise is None


def test_the_promise_on_alarms_is_the_gates(opened, confirmed):
    tube, acting = confirmed
    both = opened(acting, tube).summarize([rolled_out(0)], 4, {})
    assert (both.promise.alpha, both.tube.promise.alpha, both.covered) == (0.2, 0.1, True)
    watching = opened(SOURCE, fallback="watch").summarize([rolled_out(0)], 4, {})
    assert (watching.promise.alpha, watching.tube) == (0.2, None)
    assert (watching.promise.low, watching.promise.high) == exceeding_spread(30, 0.2)
    elsewhere = opened(SOURCE, source=dataclasses.replace(SOURCE, configuration="moved"), fallback="watch")
    assert not elsewhere.summarize([rolled_out(0)], 4, {}).covered


def test_tables_and_pages_say_what_is_promised_and_where_nothing_is(opened, confirmed):
    """A terminal of 80 columns holds the table."""
    tube, acting = confirmed
    runs = [rolled_out(0)]
    alarms, leaving = exceeding_spread(30, 0.2), exceeding_spread(40, 0.1)
    for source, promised in ((acting, True), (SOURCE, False)):
        gate = opened(source, tube).summarize(runs, 4, {})
        console = Console(width=80, record=True, file=io.StringIO())
        console.print(format_table(summarize(runs, num_modes=None, control_dt=0.1), gate=gate))
        text = console.export_text()
        assert all(f"[{low:.3f}, {high:.3f}]" in text for low, high in (alarms, leaving)) == promised
        assert text.count("nothing: not covered") == (0 if promised else 2)
        notes = {card.label: card.note for card in _gate_cards(gate)}
        assert (str(Promise(0.2, *alarms)) in notes["Alarms in successes"]) == promised
        assert (notes["Episodes that left a tube"] == str(Promise(0.1, *leaving))) == promised
        assert ("no promise here" in notes["Alarms in successes"]) != promised
