"""Human demonstrations of the Adroit hand, in a pickle.

A pickle can run any code on loading. The one read here comes from strangers, so its unpickler knows numpy's
array reconstruction and nothing else.
"""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np

from robolearn.data.attrs import StoreAttrs
from robolearn.errors import UserError
from robolearn.formats.format import REWARD, Format, ImportOptions, Recording
from robolearn.types import Episode

_RECONSTRUCT = np.zeros(0).__reduce__()[0]
_SCALAR = np.float64(0).__reduce__()[0]


def _encode(text: str, encoding: str) -> bytes:
    """How Python 3 spells bytes in old pickle protocols; never another codec than latin1."""
    return text.encode("latin1")


# numpy's internal module was renamed in 2.0; files carry either name.
_ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): _encode,
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _RECONSTRUCT for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): _SCALAR for core in ("core", "_core")},
}


class _NumpyUnpickler(pickle.Unpickler):
    def find_class(self, module_name: str, global_name: str, /) -> Any:
        if (module_name, global_name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module_name}.{global_name}; only numpy arrays are admitted")
        return _ALLOWED[module_name, global_name]


def load_numpy_pickle(content: bytes) -> Any:
    """Load a pickle of plain containers and numpy arrays.

    Raises:
        pickle.UnpicklingError: It asks for anything else; nothing has been run.
    """
    return _NumpyUnpickler(io.BytesIO(content), encoding="latin1").load()


def read_adroit(source: Path, options: ImportOptions) -> Recording:
    """Read human VR demonstrations of an Adroit hand task (Rajeswaran et al. 2018, arXiv:1709.10087).

    The file is a pickled list of dicts with observations (T, 39), actions (T, 28) and rewards (T,). The
    door's position, drawn anew for each episode, becomes the attributes door_x, door_y, door_z [m]; the
    initial joint positions are not kept.

    Args:
        source: door-v0_demos.pickle of the repository aravindr93/hand_dapg.
        options: There are no cameras to choose from.

    Raises:
        UserError: The file is not such a list.
    """
    try:
        demos = load_numpy_pickle(source.read_bytes())
    except OSError as error:
        raise UserError(f"{source}: cannot be read ({error.strerror})") from error
    except Exception as error:  # a damaged pickle fails in whatever way its bytes happen to lead to
        raise UserError(f"{source}: no pickle of demonstrations ({error})") from error
    if not isinstance(demos, list) or not demos:
        raise UserError(f"{source}: expected a list of demonstrations, found {type(demos).__name__}")
    attrs = StoreAttrs(
        env_id="gymnasium_robotics:AdroitHandDoor-v1",
        control_dt=0.01,
        obs_keys=("state",),
        expert="human, virtual reality",
        source="https://github.com/aravindr93/hand_dapg (Rajeswaran et al. 2018)",
        licence="Apache-2.0",
    )
    episodes = (_adroit_episode(demo, f"{source}: episode {i}") for i, demo in enumerate(demos))
    lost = ("the initial positions and velocities of the joints (init_state_dict) are not kept",)
    return Recording(attrs, episodes, lost, len(demos))


def _adroit_episode(demo: Any, where: str) -> Episode:
    try:
        state, action, reward = (demo[name] for name in ("observations", "actions", "rewards"))
        door = np.asarray(demo["init_state_dict"]["door_body_pos"], np.float64)
        rows = [np.asarray(array, np.float32) for array in (state, action, reward)]
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{where}: not an Adroit door demonstration ({error!r})") from error
    shapes = [array.shape for array in (*rows, door)]
    steps = len(rows[2]) if rows[2].ndim else 0
    if shapes != [(steps, 39), (steps, 28), (steps,), (3,)]:
        raise UserError(
            f"{where}: observations, actions, rewards, door position have shapes {shapes}, "
            "expected (T, 39), (T, 28), (T,), (3,)"
        )
    attrs = {f"door_{axis}": float(value) for axis, value in zip("xyz", door, strict=True)}
    return Episode(obs={"state": rows[0], REWARD: rows[2][:, None]}, actions=rows[1], attrs=attrs)


def _is_pickle(path: Path) -> bool:
    return path.is_file() and path.suffix in (".pickle", ".pkl")


ADROIT = Format("human demonstrations of Adroit's door, a pickle", read=read_adroit, recognize=_is_pickle)
