"""What is killed: a command on a directory, how it begins, and what must be true afterwards; collect first."""

from __future__ import annotations

import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from robolearn.commands.main import main as cli
from robolearn.data import collect as collecting
from robolearn.data.store import DemoStore
from robolearn.data.writer import DemoWriter, is_unbegun
from tests.campaigns.kills.process import Command, Ended

ENV, EXPERT = (f"tests.campaigns.kills.point:benchmark/{name}-v0" for name in ("Point", "Points"))


class Work(ABC):
    """One command on one directory: how it begins, what it does, and what must be true after a kill."""

    name: str

    def __init__(self, folder: Path):
        self.folder, self.target = folder, folder / "target"

    @abstractmethod
    def prepare(self) -> None:
        """Bring the target to where the command begins."""

    @abstractmethod
    def run(self, announce: Callable[[int], None]) -> None:
        """Run the command."""

    @abstractmethod
    def check(self, announced: int) -> None:
        """Raise an AssertionError if something finished is lost or half there."""

    @abstractmethod
    def go_on(self) -> None:
        """Follow the command's advice, until it is through; then compare with an undisturbed one."""

    def again(self, run: Callable[[Callable[[int], None]], None] | None = None) -> Ended:
        """Run the command once more, undisturbed."""
        return Command(run or self.run, self.folder).wait()


def succeed(ended: Ended) -> None:
    """Raise an AssertionError unless a command ended well."""
    assert ended.status == 0, f"exit status {ended.status}: {ended.error[-600:]}"


class Collect(Work):
    """A store, new or begun."""

    def __init__(self, folder: Path, *, begun: bool):
        super().__init__(folder)
        self.name, self.begun = f"collect{' on' if begun else ''}", begun

    def collect(self, out: Path, episodes: int, announce: Callable[[int], None]) -> None:
        """Record; every three episodes are a commit."""
        extend = DemoWriter.extend

        def noted(store: DemoWriter, episodes: Any) -> None:
            extend(store, episodes)
            announce(store.num_episodes)

        DemoWriter.extend, collecting.FLUSH_EPISODES = noted, 3
        cli(
            [
                "collect",
                EXPERT,
                "--episodes",
                str(episodes),
                "--out",
                str(out),
                "--num-envs",
                "4",
            ]
        )

    def prepare(self) -> None:
        """Four episodes, or none."""
        shutil.rmtree(self.target, ignore_errors=True)
        reference, before = self.folder / "reference.zarr", self.folder / "before.zarr"
        for path, episodes in ((reference, 12), (before, 4)):
            if not path.exists():
                succeed(
                    self.again(lambda announce, path=path, episodes=episodes: self.collect(path, episodes, announce))
                )
        if self.begun:
            shutil.copytree(before, self.target)

    def run(self, announce: Callable[[int], None]) -> None:
        """Record twelve."""
        self.collect(self.target, 12, announce)

    def check(self, announced: int) -> None:
        """Announced episodes are there and right."""

        def look(_: Callable[[int], None]) -> None:
            if is_unbegun(self.target):
                assert announced == 0, f"{announced} episodes were announced, none is there"
                return
            store, reference = DemoStore.open(self.target), DemoStore.open(self.folder / "reference.zarr")
            assert store.num_episodes >= max(announced, 4 * self.begun), (store.num_episodes, announced)
            for i in range(store.num_episodes):
                assert np.array_equal(store.episode(i).actions, reference.episode(i).actions), f"episode {i} differs"

        succeed(self.again(look))

    def go_on(self) -> None:
        """The same command."""

        def same(_: Callable[[int], None]) -> None:
            store, wanted = (DemoStore.open(path) for path in (self.target, self.folder / "reference.zarr"))
            assert store.num_episodes == 12
            assert store.content_hash() == wanted.content_hash(), "the episodes are others"

        succeed(self.again())
        succeed(self.again(same))
