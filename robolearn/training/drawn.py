"""Members that were drawn: each becomes a run like one that was trained, but that nothing can go on from it."""

from __future__ import annotations

import dataclasses

from robolearn.training.run import Run
from robolearn.training.state import TrainState
from robolearn.training.swag import SwagConfig


def draw_members(run: Run, state: TrainState) -> None:
    """Draw all members of a run but the first, which is the averaged policy, and save them.

    Member i is drawn with the seed of the run + i, so that the same training draws the same again, also more of them.

    Args:
        run: That was trained, in whose members/ they go.
        state: At its last step.

    Raises:
        UserError: There are too few snapshots.
        OSError: The disk refuses.
    """
    assert state.swag is not None, "members are drawn where moments were collected"
    cfg = run.config()
    for index in range(1, cfg.num_members):
        seed, directory = cfg.seed + index, run.member(index)
        policy, member = state.swag.draw(state.ema.module, seed), Run(directory)
        alone = dataclasses.replace(cfg, seed=seed, num_members=1, out=directory, wandb=False, swag=SwagConfig())
        member.write(alone, run.data())
        member.save_policy(policy, state.step)
