"""A point that follows its target with noise, s' = s + PULL (a - s) + NOISE e, in closed form; and recordings of it.

An episode ends with success when an action is taken right of GOAL, with failure when one is taken left of -GOAL.
"""

import numpy as np

from robolearn.data.attrs import StoreAttrs
from robolearn.data.writer import DemoWriter
from robolearn.types import Episode

PULL, NOISE, GOAL, LENGTH = 0.2, 0.05, 0.6, 30


def moments(start, actions):
    """Mean and standard deviation of the state after each of the actions [t]."""
    mean, variance, per_step = start, 0.0, []
    for action in actions:
        mean, variance = mean + PULL * (action - mean), (1 - PULL) ** 2 * variance + NOISE**2
        per_step.append((mean, variance**0.5))
    return np.array(per_step).T


def sampled(rng, starts, actions, samples, *, noise=NOISE, bias=0.0):
    """Paths [b, n, t, 1] from starts [b] under actions [b, t]."""
    state, path = np.repeat(starts[:, None], samples, axis=1), []
    for t in range(actions.shape[1]):
        state = state + PULL * (actions[:, t, None] - state) + bias + noise * rng.normal(size=state.shape)
        path.append(state)
    return np.stack(path, axis=2)[..., None]


def episode(rng, target=None):
    """A recorded one, of random targets or always the same."""
    state, states, actions, success, ended = rng.uniform(-0.4, 0.4), [], [], False, False
    while len(states) < LENGTH and not ended:
        action = rng.uniform(-1, 1) if target is None or rng.uniform() < 0.05 else target
        states.append([state])
        actions.append([action])
        ended, success = abs(state) > GOAL, state > GOAL
        state = state + PULL * (action - state) + NOISE * rng.normal()
    rows = np.array(states, np.float32), np.array(actions, np.float32)
    return Episode({"state": rows[0]}, rows[1], {"success": bool(success), "ended": bool(ended)})


def write(path, count, targets=(None,), seed=0, keep=("success", "ended")):
    """Record a store."""
    rng, episodes = np.random.default_rng(seed), []
    for i in range(count):
        one = episode(rng, targets[i % len(targets)])
        episodes.append(Episode(one.obs, one.actions, {name: one.attrs[name] for name in keep}))
    attrs = StoreAttrs(env_id="test/Point-v0", control_dt=0.1, obs_keys=("state",))
    DemoWriter.create(path, attrs=attrs).extend(episodes)
    return path
