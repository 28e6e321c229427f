"""Two arms hand a cube over (gym-aloha), seen as numbers, and a scripted expert for it.

gym-aloha draws three images of 640 x 480 in every step, whatever it is asked for, which takes 0.3 s without a GPU. This
module observes joints and the cube's pose instead; the physics, the starts, the action space and what counts as success
are gym-aloha's. It declares actions in -1 .. 1, which an elbow at rest (1.16 rad) is beyond: `--env.no-clip`.
The expert knows where the cube lies at the start, plans both arms' joints by inverse kinematics and looks no further.
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import mujoco
import numpy as np
from gym_aloha.env import AlohaEnv  # pyright: ignore[reportMissingImports]

STEPS = 300  # of 0.02 s
HOME = np.array([0, -0.96, 1.16, 0, -0.3, 0])  # [rad] where both arms start
GRASP = 0.12  # [m] from a gripper's frame to between its fingers
MEET = np.array([0.0, 0.5, 0.27])  # [m] where the cube changes hands
ACROSS, UP = np.array([0.0, -1, 0]), np.array([0.0, 0, 1])
LEFT, RIGHT = np.array([1.0, 0, 0]), np.array([-1.0, 0, 0])  # where the arms' fingers point when they meet
OPEN, CLOSED = 1.0, 0.0


class TransferCube(AlohaEnv):
    """AlohaTransferCube with joints, grippers (14) and the cube's position and quaternion (7) as one vector."""

    def __init__(self, **rendering: Any) -> None:
        super().__init__("transfer_cube", obs_type="pixels", **rendering)
        task = self._env.task
        task.get_observation = lambda physics: {"state": [task.get_qpos(physics), task.get_env_state(physics)]}
        self.observation_space = gym.spaces.Box(-np.inf, np.inf, (21,), np.float64)

    def _format_raw_obs(self, raw_obs: dict[str, Any]) -> np.ndarray:
        return np.concatenate(raw_obs["state"])


gym.register("world/AlohaTransferCube-v0", f"{__name__}:TransferCube", max_episode_steps=STEPS)


class Arm:
    """The inverse kinematics of one arm."""

    def __init__(self, model: mujoco.MjModel, side: str) -> None:
        self._model, self._data = model, mujoco.MjData(model)
        self._body = model.body(f"vx300s_{side}/gripper_link").id
        first = int(model.joint(f"vx300s_{side}/waist").qposadr[0])
        self._joints = slice(first, first + 6)

    def reach(self, joints: np.ndarray, point: np.ndarray, pose: np.ndarray) -> np.ndarray:
        """Joints [rad] (6,) that bring the grasp to a point [m] (3,) in a pose, by damped least squares.

        Args:
            joints: To start from.
            point: Of the world.
            pose: Rotation (3, 3): where the fingers point, how they open, and what is at right angles to both.
        """
        model, data, jacobian = self._model, self._data, np.zeros((6, self._model.nv))
        for _ in range(200):
            data.qpos[self._joints] = joints
            mujoco.mj_kinematics(model, data)
            mujoco.mj_comPos(model, data)
            rotation = data.xmat[self._body].reshape(3, 3)
            grasp = data.xpos[self._body] + GRASP * rotation[:, 0]
            mujoco.mj_jac(model, data, jacobian[:3], jacobian[3:], grasp, self._body)
            turn = pose @ rotation.T
            error = np.concatenate([point - grasp, 0.5 * np.array([turn[k] - turn[k[::-1]] for k in TURNS])])
            if np.abs(error).max() < 1e-4:
                return joints
            part = jacobian[:, self._joints]
            step = part.T @ np.linalg.solve(part @ part.T + 1e-4 * np.eye(6), error)
            joints = joints + np.clip(step, -0.2, 0.2)
        raise ArithmeticError(f"no joints reach {point}")


TURNS = ((2, 1), (0, 2), (1, 0))  # entries of a rotation whose differences are its axis


def pose_of(forward: np.ndarray, across: np.ndarray) -> np.ndarray:
    """The rotation of a gripper whose fingers point forward and open across."""
    return np.stack([forward, across, np.cross(forward, across)], axis=1)


def expert(env: gym.Env, cube: np.ndarray) -> np.ndarray:
    """Actions [STEPS, 14] that hand over a cube which lies at (3,) [m]."""
    model = env.unwrapped._env.physics.model.ptr  # pyright: ignore[reportAttributeAccessIssue]
    steep = np.radians(60)
    pick = pose_of(np.array([-np.cos(steep), 0, -np.sin(steep)]), ACROSS)
    give, take = pose_of(RIGHT, ACROSS), pose_of(LEFT, UP)
    low = np.array([*cube[:2], 0.015])
    hand = MEET + np.array([0.03, 0, -0.015])  # the cube hangs a little behind and below the giving fingers
    right = [
        (60, low + 0.095 * UP, pick, OPEN),
        (95, low, pick, OPEN),
        (115, low, pick, CLOSED),
        (150, low + 0.125 * UP, pick, CLOSED),
        (200, MEET, give, CLOSED),
    ]
    left = [
        (120, MEET - 0.15 * LEFT, take, OPEN),
        (205, MEET - 0.15 * LEFT, take, OPEN),
        (235, hand, take, OPEN),
        (250, hand, take, CLOSED),
    ]
    return np.concatenate([follow(Arm(model, "left"), left), follow(Arm(model, "right"), right)], axis=1)


def follow(arm: Arm, waypoints: list[tuple[int, np.ndarray, np.ndarray, float]]) -> np.ndarray:
    """Joints and gripper [STEPS, 7] through waypoints (step, point, pose, gripper), straight between them."""
    joints, steps, rows = HOME, [0], [np.append(HOME, 0.3)]
    for step, point, pose, gripper in waypoints:
        joints = arm.reach(joints, point, pose)
        steps.append(step)
        rows.append(np.append(joints, gripper))
    return np.stack([np.interp(np.arange(STEPS), steps, column) for column in np.stack(rows, axis=1)], axis=1)
