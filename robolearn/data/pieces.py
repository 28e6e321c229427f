"""Rows of several episodes as pieces of whole chunks, so that what is large is written from where it lies."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from robolearn.types import Array


def cut_at_chunks(parts: Sequence[Array], start: int, chunk: int) -> Iterator[tuple[int, list[Array]]]:
    """Cut rows that follow one another at the edges of chunks; no two pieces share a chunk.

    Chunks that lie inside one part are a piece of one array, several together. Only those that reach over the edge of
    a part are of several, which have to be copied together.

    Args:
        parts: Rows [time, ...] of episodes, none of them empty.
        start: Row of the whole array at which the first begins.
        chunk: Rows per chunk.

    Yields:
        Row at which a piece begins, and the rows that it is made of.
    """
    row, first, waiting = start, start, list[Array]()
    for part in parts:
        at = 0
        while at < len(part):
            left = len(part) - at
            whole = left // chunk * chunk if row % chunk == 0 else 0
            taken = part[at : at + (whole or min(left, chunk - row % chunk))]
            waiting.append(taken)
            at, row = at + len(taken), row + len(taken)
            if row % chunk == 0:
                yield first, waiting
                first, waiting = row, []
    if waiting:
        yield first, waiting
