"""The members of an ensemble but the first, trained wherever there is room; see members.py, which trains them here."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch

from robolearn.errors import UserError
from robolearn.mapper import Jobs, Mapper
from robolearn.nets.threads import needs_of
from robolearn.training.config import TrainConfig
from robolearn.training.members import check_none_failed, member_config, write_order


class MemberJobs:
    """The members of a run but the first, which its user trains meanwhile; leaving the context stops them.

    Args:
        cfg: What the first one trains, and where; all machines see that folder and the demonstrations.
        device: Where the first one trains.
        mapper: Where the others are trained.
        changed_data: Whether they may go on although the demonstrations have changed.
    """

    def __init__(self, cfg: TrainConfig, device: torch.device, mapper: Mapper, changed_data: bool = False):
        assert cfg.out is not None
        self.cfg, self.out = cfg, Path(cfg.out)
        self._mapper, self._needs = mapper, needs_of(device)
        self._jobs: Jobs | None = None
        alike = {"device": device.type, "threads": self._needs.threads}
        members = [member_config(cfg, index) for index in range(1, cfg.num_trained)]
        self._orders = [write_order(dataclasses.replace(member, **alike), changed_data) for member in members]

    def __enter__(self) -> MemberJobs:
        if self._orders:
            self._mapper.check_shared(self.out, self.cfg.dataset.paths)
            self._jobs = self._mapper.map(_train_member, None, self._orders, self._needs)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Let those that run save and end, and start no more."""
        if self._jobs is not None:
            self._jobs.close()

    def finish(self) -> bool:
        """Wait for all; SIGINT and, in a command, SIGTERM stop them.

        Returns:
            Whether all are complete; False after a signal.

        Raises:
            UserError: Some failed.
        """
        complete, failures = 0, dict[int, str]()
        try:
            for number, failure in self._jobs or ():
                index = number + 1
                if failure:
                    failures[index] = failure
                    print(f"member {index} failed; the others go on")
                elif failure is not None:
                    complete += 1
                    print(f"member {index}: trained: {member_config(self.cfg, index).out}")
        except KeyboardInterrupt:
            self.stop()
            return False
        check_none_failed(failures, self.cfg)
        return complete == len(self._orders)


def _train_member(_: None, order: str) -> str | None:
    """Empty if it is complete, else why not; None if it was stopped."""
    from robolearn.training.member import train_member  # which imports train.py, which imports this

    try:
        return "" if train_member(order) else None
    except UserError as error:
        return str(error)
