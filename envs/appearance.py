"""A model that can look different, and puts on the look of one episode after the other.

What changes is a copy of the model that one renderer has to itself: physics, other renderers and other threads never
see it. All textures are in it from the start, so that another look is a few numbers and no upload.
"""

from __future__ import annotations

import copy
from functools import cache, lru_cache
from pathlib import Path

import mujoco
import numpy as np

from envs.looks import LOOKS, Look
from envs.patterns import PATTERNS, SIZE, pattern
from robolearn.contract import Array


def load_spec(path: Path, look: str | None) -> mujoco.MjSpec:
    """What an MJCF says; for a look, with a material per geom that nothing wears yet, and a lamp as its only light.

    The physics is the same in either.
    """
    spec = mujoco.MjSpec.from_file(str(path))
    if look is None:
        return spec
    kind, flat = mujoco.mjtTexture.mjTEXTURE_2D, mujoco.mjtBuiltin.mjBUILTIN_FLAT
    for name in PATTERNS:
        spec.add_texture(name=name, type=kind, builtin=flat, width=SIZE, height=SIZE, nchannel=3)
    for index, _ in enumerate(spec.geoms):
        spec.add_material(name=f"geom {index}", texuniform=True, specular=0.0)
    for light in spec.lights:
        spec.delete(light)
    spec.worldbody.add_light(name="lamp", castshadow=False, cutoff=90.0, exponent=0.0, specular=[0.0] * 3)
    spec.visual.headlight.active = False
    return spec


def compiled(spec: mujoco.MjSpec) -> mujoco.MjModel:
    """The model of what `load_spec` returned, or of an edited copy of it."""
    model = spec.compile()
    if model.ntex:
        model.tex_data[:] = _tiles()
    return model


@cache
def _tiles() -> Array:
    """All textures, one after the other."""
    return np.concatenate([pattern(name).ravel() for name in PATTERNS])


class Appearance:
    """Puts looks on a copy of a model.

    Args:
        model: A model made by `load_spec` for a look; it stays as it is.
        look: A key of `LOOKS`.
        camera: Name of the camera that will be looked through.

    Attributes:
        model: The copy, of this model or of that of the last episode.
    """

    def __init__(self, model: mujoco.MjModel, look: str, camera: str) -> None:
        self._draw, self._camera = LOOKS[look], model.camera(camera).id
        self._copy(model)
        self._plain, self._surface = surfaces(model)
        self._top, self._seen = _View(model, "top"), _View(model, camera)
        self._look_of = lru_cache(maxsize=1024)(self._drawn)

    def wear(self, key: int, model: mujoco.MjModel) -> Look:
        """Make a copy of an episode's model look as the episode's number `key` says."""
        if model is not self._copied:
            self._copy(model)
        look, numbers = self._look_of(key)
        for name, value in numbers.items():
            getattr(self.model, name)[...] = value
        return look

    def _copy(self, model: mujoco.MjModel) -> None:
        """Make the copy one of this model, each geom with its material."""
        self._copied, self.model = model, copy.copy(model)
        self.model.geom_matid[:] = np.arange(model.ngeom)

    def _drawn(self, key: int) -> tuple[Look, dict[str, Array]]:
        """The look of an episode, and what it makes of the model's arrays."""
        look = self._draw(self._plain, np.random.default_rng(key))
        numbers = {"geom_rgba": self.model.geom_rgba.copy(), "mat_texid": self.model.mat_texid.copy()}
        numbers["geom_rgba"][:, :3] = look.colors[self._surface]
        numbers["mat_texid"][:, mujoco.mjtTextureRole.mjTEXROLE_RGB] = look.patterns[self._surface]
        numbers["mat_texrepeat"] = (look.tiles / self._top.height)[self._surface, None]
        towards = self._top.axes @ look.lamp
        numbers["light_pos"] = self._top.aim + self._top.height * towards
        numbers["light_dir"] = -towards / np.linalg.norm(towards)
        numbers["light_diffuse"], numbers["light_ambient"] = look.light, look.ambient
        numbers |= self._placed(look)
        return look, numbers

    def _placed(self, look: Look) -> dict[str, Array]:
        """The camera, turned about what it looks at, displaced and zoomed."""
        numbers = {name: getattr(self.model, name).copy() for name in ("cam_pos", "cam_quat", "cam_fovy")}
        seen, camera, quat = self._seen, self._camera, np.empty(4)
        mujoco.mju_euler2Quat(quat, look.turn, "xyz")
        axes = seen.axes @ _matrix(quat)
        aim = seen.aim + seen.height * axes[:, :2] @ look.slide
        numbers["cam_pos"][camera] = aim + seen.distance * axes[:, 2]
        mujoco.mju_mat2Quat(numbers["cam_quat"][camera], axes.ravel())
        numbers["cam_fovy"][camera] = look.zoom * seen.fovy
        return numbers


def surfaces(model: mujoco.MjModel) -> tuple[Array, Array]:
    """The colors [s, 3] that a model's geoms have, that of its largest geom first, and which of them each has [g]."""
    area = np.sort(model.geom_size, axis=1)[:, 1:].prod(axis=1)
    colors = [tuple(rgba[:3]) for rgba in model.geom_rgba]
    palette = list(dict.fromkeys(colors[geom] for geom in np.argsort(-area, kind="stable")))
    return np.array(palette), np.array([palette.index(color) for color in colors])


class _View:
    """What a camera of a model sees, which stands still and looks at about the origin of the world.

    Attributes:
        axes: Its axes right, up and back, in columns [3, 3].
        distance: From it to what it looks at [m].
        aim: What it looks at [3], [m].
        fovy: The angle that it sees, upright [degrees].
        height: How much it sees there, upright [m].
    """

    def __init__(self, model: mujoco.MjModel, camera: str) -> None:
        self.axes, self.fovy = _matrix(model.camera(camera).quat), model.camera(camera).fovy.item()
        self.distance = float(self.axes[:, 2] @ model.camera(camera).pos)
        self.aim = model.camera(camera).pos - self.distance * self.axes[:, 2]
        self.height = 2 * self.distance * np.tan(np.deg2rad(self.fovy) / 2)


def _matrix(quat: Array) -> Array:
    """The rotation [3, 3] of a quaternion."""
    matrix = np.empty(9)
    mujoco.mju_quat2Mat(matrix, quat)
    return matrix.reshape(3, 3)
