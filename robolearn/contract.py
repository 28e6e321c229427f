"""What an environment tells robolearn: facts about itself, once, and what a chunk of actions led to.

It also says what is loaded before anything is drawn, see `load_triton`. The one file of robolearn that an environment
may import; it needs numpy alone. An environment that imports nothing is as welcome: it may have single attributes of
the names in `TOLD`, or none, and its driver may return any object that has the attributes of `ChunkResult`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Protocol, cast, runtime_checkable

import numpy as np

Array = np.ndarray
Distance = Callable[[Array], Array]
TOLD = ("num_modes", "symmetry", "clearance", "control_dt", "units")  # also read one by one


@dataclass(frozen=True)
class Scene:
    """Hand and objects of a task, so that a demonstration can be carried over to where they are in another episode.

        Scene(hand=lambda obs: obs["state"][..., :2], objects=lambda obs: {"cube": obs["state"][..., 2:5]})

    Functions take observations, key -> [..., *shape], of as many leading axes as they come with. Positions have d = 2
    or 3 coordinates.

    Attributes:
        hand: Position [..., d] of what the actions move.
        objects: Name -> position [..., d], or position and angle [..., d + 1]. The angle [rad] turns the first two
            coordinates.
        carries: Whether the hand holds the objects that it moves. Otherwise it pushes them, from the side opposite to
            where they shall go.
        turns: Whether the hand pushes an object from the same side of its own, however it lies.
        near: From this distance on the hand deals with an object that stays.
        gain: The first d numbers of an action are (where the hand is sent - where it is) / gain; None where they are
            that place itself.

    Raises:
        ValueError: Objects are carried and pushed.
    """

    hand: Callable[[Mapping[str, Array]], Array]
    objects: Callable[[Mapping[str, Array]], Mapping[str, Array]]
    carries: bool = False
    turns: bool = False
    near: float = 0.0
    gain: float | None = None

    def __post_init__(self) -> None:
        if self.carries and self.turns:
            raise ValueError("scene: what is carried is not pushed; give `carries` or `turns`")


@dataclass(frozen=True)
class Facts:
    """What an environment says of itself beside its spaces, as ``env.unwrapped.facts`` and as ``facts`` of its driver.

        self.facts = Facts(num_modes=2, control_dt=0.05)

    Attributes:
        num_modes: How many ways of solving the task are told apart in ``info["mode"]``, at least 2; None for none.
        symmetry: A map g of observations and actions, g^order = 1, that leaves the task as it is:
            {"order": 2, "maps": {key: {"matrix": rows, "offset": numbers}}}, v -> matrix v + offset; None for none.
        clearance: Keep-out distance: maps positions xy [..., 2], the first two numbers of ``state``, to how far [m]
            what moves, standing there, is from what it must not touch [...]; negative inside. None without a keep-out
            set that is the same in every episode.
        control_dt: Seconds per action; None where it is not known.
        units: Key of an observation, or "action" -> unit.
        score: What ``info["score"]`` in [0, 1] measures, in a few words; None where the reward stands for it.
        has_expert: Whether the driver has a scripted expert, see `Demonstrates`.
        scene: Where hand and objects are; None where demonstrations cannot be carried over without being told.
    """

    num_modes: int | None = None
    symmetry: Mapping[str, Any] | None = None
    clearance: Distance | None = None
    control_dt: float | None = None
    units: Mapping[str, str] = field(default_factory=dict)
    score: str | None = None
    has_expert: bool = False
    scene: Scene | None = None

    def __post_init__(self) -> None:
        if self.num_modes is not None and self.num_modes < 2:
            raise ValueError(f"facts: num_modes {self.num_modes} must be at least 2, or None where there are no modes")

    @classmethod
    def declared_by(cls, env: Any) -> Facts:
        """Read them, once, of an unwrapped environment or a driver, whether or not it knows this class.

        A single attribute that cannot be meant, such as a clearance that is a number, is some other word for something
        else, and says nothing.
        """
        declared = getattr(env, "facts", None)
        if isinstance(declared, cls):
            return declared
        modes, symmetry, clearance, dt, units = (getattr(env, name, None) for name in TOLD)
        return cls(
            num_modes=modes if isinstance(modes, int) and modes >= 2 else None,
            symmetry=symmetry if isinstance(symmetry, Mapping) else None,
            clearance=cast(Distance, clearance) if callable(clearance) else None,
            control_dt=dt.item() if isinstance(dt, np.generic) else dt,
            units=units
            if isinstance(units, Mapping) and all(isinstance(x, str) for p in units.items() for x in p)
            else {},
            has_expert=callable(getattr(env, "expert_action", None)),
        )


@dataclass(frozen=True)
class ChunkResult:
    """What up to h control steps brought to n environments.

    Entries after the step at which an environment ended mean nothing; ``num_steps`` says how many are valid.

    Attributes:
        obs: Key -> array [n, h, ...], after each step. Images [n, k, ...] may be of the last k <= h valid steps only:
            entry j is the image after step max(num_steps - k, 0) + j.
        rewards: [n, h], float64.
        terminated: [n, h], bool: success, failure or instability.
        truncated: [n, h], bool: out of time.
        num_steps: Steps really executed [n], int64; 0 for inactive and for ended environments, and for those whose
            first step broke.
        info: "success" bool, "score" float64 in [0, 1], "mode" int64, "unstable" bool, each [n, h].
    """

    obs: dict[str, Array]
    rewards: Array
    terminated: Array
    truncated: Array
    num_steps: Array
    info: dict[str, Array]

    @classmethod
    def empty(cls, n: int, h: int, obs: Mapping[str, Array]) -> ChunkResult:
        """A chunk in which no environment has stepped yet, for observations like these [n, ...]."""
        info = {
            "success": np.zeros((n, h), bool),
            "score": np.zeros((n, h)),
            "mode": np.full((n, h), -1),
            "unstable": np.zeros((n, h), bool),
        }
        seen = {key: np.zeros((n, h, *value.shape[1:]), value.dtype) for key, value in obs.items()}
        return cls(seen, np.zeros((n, h)), np.zeros((n, h), bool), np.zeros((n, h), bool), np.zeros(n, int), info)


@runtime_checkable
class Demonstrates(Protocol):
    """A driver with a scripted expert that can go on from wherever its environments are."""

    def expert_action(self) -> tuple[Array, Array]:
        """The clean actions [n, a], to be recorded, and the noisy ones [n, a], to be executed."""
        ...

    def take_over(self, mask: Array) -> None:
        """Let the expert of the environments ``mask`` [n] plan anew, from their present state."""
        ...


def load_triton() -> None:
    """Load Triton where it is installed, as with torch for CUDA; to be called before anything is drawn.

    Mesa draws without a GPU by means of LLVM, and PyOpenGL loads it so that all later libraries see it. Triton has an
    LLVM of its own, which from 3.7 on would bind to Mesa's, and the process would crash as torch makes its first
    optimizer. Loaded first, each keeps its own.
    """
    if find_spec("triton") is not None:
        with suppress(ImportError):  # torch does without it then, too
            import_module("triton")
