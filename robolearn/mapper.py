"""Calling a function for many jobs, wherever there is room: what commands hand to functions that spread their work.

One machine needs none of this: without a mapper everything happens in the process that is there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable


@dataclass(frozen=True)
class Needs:
    """What a job takes.

    Attributes:
        threads: CPU threads that it computes on; sums may be rounded otherwise on another number.
        gpu: Whether it computes on a GPU.
    """

    threads: int = 1
    gpu: bool = False


@runtime_checkable
class Jobs(Protocol):
    """Jobs under way: (number of the job, its result) in the order in which they end."""

    def __iter__(self) -> Iterator[tuple[int, Any]]: ...

    def __next__(self) -> tuple[int, Any]: ...

    def close(self) -> None:
        """Stop those that run, as by Ctrl-C, and begin no more."""
        ...


@runtime_checkable
class Mapper(Protocol):
    """Where jobs run."""

    def places(self, needs: Needs) -> int:
        """How many such jobs run at once.

        Raises:
            UserError: None ever could.
        """
        ...

    def map(self, function: Callable[[Any, Any], Any], common: Any, jobs: Iterable[Any], needs: Needs) -> Jobs:
        """Begin ``function(common, job)`` for every job, as many at once as there is room for.

        A job may be begun again where what ran it is lost, so it has to do no harm twice.

        Args:
            function: Of a module, not of another function.
            common: What all jobs share; it travels once.
            jobs: Taken one by one as there is room, so there may be no end of them.
            needs: What each takes.

        Raises:
            UserError: What a job raised; or none could run.
        """
        ...

    def check_shared(self, written: Path, read: Iterable[Path] = ()) -> None:
        """Find out whether every machine sees the same files.

        Args:
            written: A folder that jobs write into; made if it is not there.
            read: Files or folders that they read.

        Raises:
            UserError: One does not; the line names it.
        """
        ...
