"""Off-screen images of a task's state through EGL or OSMesa, whichever this machine has.

The GL library is looked for when the first image is asked for: tasks without images need none.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any

import mujoco
import numpy as np

from envs.task import Array
from robolearn.contract import load_triton

BACKENDS = ("egl", "osmesa")


class Renderer:
    """Draws what a camera of the MJCF sees.

    Args:
        model: The model, or one of as many elements and with the same textures as those that will be drawn.
        width: Image width [px].
        height: Image height [px].
        camera: Name of the camera.

    Raises:
        RuntimeError: No GL library is usable.
    """

    def __init__(self, model: mujoco.MjModel, width: int, height: int, camera: str = "top") -> None:
        self._gl = _gl_context(width, height)
        self._gl.make_current()
        model.vis.global_.offwidth, model.vis.global_.offheight = width, height
        self._data = mujoco.MjData(model)
        self._context = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100.value)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN.value, self._context)
        self._scene = mujoco.MjvScene(model, maxgeom=1000)
        self._scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = False
        self._scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = False
        self._camera = mujoco.MjvCamera()
        self._camera.type = mujoco.mjtCamera.mjCAMERA_FIXED
        self._camera.fixedcamid = model.camera(camera).id
        self._options, self._rect = mujoco.MjvOption(), mujoco.MjrRect(0, 0, width, height)
        self._upside_down = np.empty((height, width, 3), np.uint8)

    def image(self, physics: Array, model: mujoco.MjModel) -> Array:
        """Image [height, width, 3], uint8, of one physics state [nstate] of a model."""
        data = self._data
        mujoco.mj_setState(model, data, physics, mujoco.mjtState.mjSTATE_FULLPHYSICS.value)
        mujoco.mj_kinematics(model, data)
        mujoco.mj_camlight(model, data)
        self._gl.make_current()
        category = mujoco.mjtCatBit.mjCAT_ALL.value
        mujoco.mjv_updateScene(model, data, self._options, None, self._camera, category, self._scene)
        mujoco.mjr_render(self._rect, self._scene, self._context)
        mujoco.mjr_readPixels(self._upside_down, None, self._rect, self._context)
        return self._upside_down[::-1].copy()

    def close(self) -> None:
        """Free the GL context."""
        self._gl.make_current()
        self._context.free()
        self._gl.free()


def _gl_context(width: int, height: int) -> Any:
    """Context of the backend that MUJOCO_GL names, else of the first that works."""
    chosen = os.environ.get("MUJOCO_GL", "").lower()
    if chosen not in ("", *BACKENDS):
        raise ValueError(f"MUJOCO_GL={chosen!r} cannot render off screen; choose one of {', '.join(BACKENDS)}")
    load_triton()
    reasons = []
    for name in (chosen,) if chosen else BACKENDS:
        platform = os.environ.get("PYOPENGL_PLATFORM")
        try:
            return import_module(f"mujoco.{name}").GLContext(width, height)
        except (ImportError, AttributeError, OSError, RuntimeError) as error:
            reasons.append(f"{name}: {(str(error).strip() or type(error).__name__).splitlines()[0]}")
            # The failed import has tied PyOpenGL to its platform, which would shut out the next one.
            os.environ.pop("PYOPENGL_PLATFORM", None)
            if platform is not None:
                os.environ["PYOPENGL_PLATFORM"] = platform
    raise RuntimeError(f"no GL library for off-screen rendering ({'; '.join(reasons)}); install libegl1 or libosmesa6")
