"""The nearest cylinders are seen from the rod; a mirror is declared, and neither modes nor a keep-out set."""

import numpy as np

from envs.avoid_field import NUM_SEEN, nearest
from envs.disturbance import Disturbance
from envs.fields import KINDS, MAX_CYLINDERS
from tests.envs.avoid_field.starts import executed, field


def test_the_nearest_cylinders_are_seen_from_the_rod():
    cylinders = field((0.1, 0.0, 0.02), (0.0, 0.2, 0.02), (0.0, -0.1, 0.03), (-0.2, 0.0, 0.05))
    seen = nearest(np.array([0.0, 0.05]), cylinders).reshape(NUM_SEEN, 3)
    expected = [(0.1, -0.05, 0.02), (0.0, -0.15, 0.03), (0.0, 0.15, 0.02), (-0.2, -0.05, 0.05)]
    np.testing.assert_allclose(seen[:4], expected)
    assert (seen[4:] == 0).all()
    both = nearest(np.array([[[0.0, 0.05]], [[0.1, 0.3]]]), np.stack([cylinders, cylinders])[:, None])
    assert both.shape == (2, 1, 3 * NUM_SEEN)
    np.testing.assert_array_equal(both[0, 0], seen.ravel())


def test_every_drawn_field_fills_what_is_seen(task, make):
    assert min(kind.counts[0] for kind in KINDS.values()) >= NUM_SEEN
    seen = make(50).reset(seed=0)[0]["field"].reshape(50, NUM_SEEN, 3)
    assert (seen[..., 2] > 0).all()
    away = np.linalg.norm(seen[..., :2], axis=-1) - seen[..., 2]
    assert (np.diff(away, axis=1) > -1e-6).all()


def test_the_mirror_is_a_symmetry(make):
    """An episode in the mirrored field with mirrored actions is the mirrored episode."""
    env = make(6)
    starts = env.starts(range(6))
    mirrored = starts * np.array([-1.0, 1.0, 1.0, 1.0, *[-1.0, 1.0, 1.0] * MAX_CYLINDERS])
    actions = executed(env.task, starts)
    maps = env.facts.symmetry["maps"]
    results = []
    for start, turn in ((starts, np.eye(2)), (mirrored, np.array(maps["action"]["matrix"]))):
        env.reset(seed=0, options={"start": start})
        results.append(env.step_chunk(actions @ turn.T))
    for key in ("state", "field"):
        turned = results[0].obs[key] @ np.array(maps[key]["matrix"]).T
        np.testing.assert_allclose(results[1].obs[key], turned, atol=1e-6)
    np.testing.assert_array_equal(results[0].num_steps, results[1].num_steps)


def test_it_declares_no_modes_and_no_keep_out_set(make):
    facts = make(2).facts
    assert (facts.num_modes, facts.clearance, facts.has_expert, facts.control_dt) == (None, None, True, 0.05)
    assert make(2, disturbance=Disturbance(moved=0.01)).facts.symmetry is None
