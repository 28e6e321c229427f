"""A trained policy for a robot's own loop: one observation in, one action out; no simulator is needed.

Chunks, history, execution and what watches over the policy are inside, the same as in an evaluation: given what the
environment of an evaluated episode returned, an agent gives the actions of that episode bit by bit. Where the run was
deployed like this, the runtime acts instead of torch, several times faster; its actions are equal within 1e-5 of the
normalized action.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, get_args

import numpy as np

from robolearn.config import checked, find
from robolearn.deploy.runtime import RefusedError, numbers
from robolearn.errors import UserError
from robolearn.evaluation.acting import Acting
from robolearn.evaluation.config import ActConfig
from robolearn.evaluation.deployed import find_deployed
from robolearn.files import StrPath
from robolearn.images import ImageLayout
from robolearn.keymap import KeyMap
from robolearn.training.run import Run
from robolearn.trust.guarded import GuardedController
from robolearn.types import Array, is_image

Runtime = Literal["auto", "torch", "onnx"]


class Agent:
    """Acts for one robot.

        agent = Agent(Path("runs/door"), ActConfig(checkpoint="best"))
        agent.reset()
        while not done:
            robot.send(agent.act({"state": robot.state()}))

    Args:
        run: Of `train`.
        cfg: How it acts.
        clearance: For a safety set: positions [..., 2] to the distance [m] from what must not be touched.
        runtime: auto, what `deploy` left in the run if it acts alike and is faster, else torch; torch; onnx, what
            `deploy` left or none.

    Raises:
        UserError: There is no such checkpoint, gate or set, it does not fit, or the fallback needs a simulator; or
            runtime onnx is asked for and the run was not deployed like this.
    """

    def __init__(
        self,
        run: Run | StrPath,
        cfg: ActConfig | None = None,
        *,
        clearance: Callable[[Array], Array] | None = None,
        runtime: Runtime = "auto",
    ):
        run, cfg = run if isinstance(run, Run) else Run.open(run), checked(cfg or ActConfig())
        find("runtime", runtime, dict.fromkeys(get_args(Runtime)))
        if cfg.is_watched and cfg.acting_fallback == "expert":
            raise UserError("fallback expert: a robot has no scripted expert; choose hold, retreat, replan or stop")
        if cfg.safety_set and clearance is None:
            raise UserError("safety set: tell the agent the distance to what must not be touched (clearance)")
        acting = Acting.open(run, cfg, run.config().env, episodes=1)
        self.shapes, self.cameras = acting.policy.cfg.obs_shapes, acting.policy.cfg.images
        self.keymaps = run.config().dataset.keymap, KeyMap.parse(run.config().env.obs)
        self._deployed = None if runtime == "torch" else find_deployed(run, cfg, acting, required=runtime == "onnx")
        self._controller = acting.make_controller(1, seed=cfg.seed)
        if isinstance(self._controller, GuardedController) and clearance is not None:
            self._controller.distance = clearance
        self._episode, self._begun = -1, False
        self._seen: list[dict[str, Array]] = []
        self._actions: list[Array] = []

    def reset(self, episode: int | None = None) -> None:
        """Begin an episode: what was seen is forgotten, and the noise is that of this episode.

        Args:
            episode: Its index, which with the seed fixes the noise; by default the next one.
        """
        self._episode = self._episode + 1 if episode is None else episode
        self._begun = False
        self._seen, self._actions = [], []
        if self._deployed is not None:
            self._deployed.reset(self._episode)

    def act(self, observation: Mapping[str, Any]) -> Array | None:
        """The action for the present moment; to be called once per control step.

        Args:
            observation: Key -> array as in the demonstrations, without leading axes, under the names that the policy
                sees or under those that they were made of; others are left alone.

        Returns:
            Action [a] in physical units; None where what watches over the policy ends the episode.

        Raises:
            UserError: An observation is missing, has another shape, or is not of numbers that are finite in single
                precision.
        """
        obs = self._check(observation)
        if self._deployed is not None:
            return self._deployed.act(obs)
        if not self._begun:
            self._episode, self._begun = max(self._episode, 0), True
            self._controller.reset([0], [self._episode], {key: value[None] for key, value in obs.items()})
        else:
            self._seen.append(obs)
        if not self._actions:
            if self._seen:
                seen = {key: np.stack([one[key] for one in self._seen])[None] for key in obs}
                self._controller.observe(seen, np.array([len(self._seen)]))
                self._seen = []
            self._actions = list(self._controller.act(np.ones(1, bool))[0])
        if self._controller.stopped[0]:
            return None
        return self._actions.pop(0).copy()

    @property
    def runtime(self) -> str:
        """What the policy runs on: torch, or onnx."""
        return "torch" if self._deployed is None else "onnx"

    @property
    def signals(self) -> dict[str, Array]:
        """What was noted at each replanning of the episode: scores and whether there was an intervention."""
        return self._controller.signals(0)

    def _check(self, observation: Mapping[str, Any]) -> dict[str, Array]:
        kept: dict[str, Array] = {}
        observation = self._mapped(observation)
        for key, shape in self.shapes.items():
            if key not in observation:
                raise UserError(f"observation {key!r} is missing; the policy sees {', '.join(self.shapes)}")
            value = observation[key]
            if is_image(shape):
                value = self._see(key, value)
            if value.shape != shape:
                raise UserError(f"observation {key!r} has shape {value.shape}, the policy was trained on {shape}")
            kept[key] = value.copy()  # a robot may fill the same array at every step
        return kept

    def _mapped(self, observation: Mapping[str, Any]) -> Mapping[str, Array]:
        """The observation under the policy's names: it may come under those of the stores, or of the environment."""
        seen = _numbers(observation, self.shapes)
        if all(key in seen and (is_image(shape) or seen[key].shape == shape) for key, shape in self.shapes.items()):
            return seen
        fitting = [keymap for keymap in self.keymaps if keymap.entries and {*keymap.sources} <= {*observation}]
        if not fitting:
            return seen
        sources = _numbers(observation, fitting[0].sources)
        return _numbers({**seen, **fitting[0].apply({**seen, **sources}, 0)}, self.shapes)

    def _see(self, key: str, image: Array) -> Array:
        """An image of the robot as the policy sees those of the demonstrations."""
        try:
            return self.cameras.get(key, ImageLayout()).read(image, self.shapes[key])
        except ValueError as error:
            raise UserError(f"observation {key!r} {error}") from None


def _numbers(observation: Mapping[str, Any], keys: Iterable[str]) -> dict[str, Array]:
    """Those of these keys that are there, as arrays of finite numbers; what else a robot tells is left alone."""
    try:
        return {key: numbers(key, observation[key]) for key in keys if key in observation}
    except RefusedError as error:
        raise UserError(str(error)) from None
