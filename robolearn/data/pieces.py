"""Rows of several episodes as pieces of whole chunks, so that what is large is written from where it lies."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from robolearn.types import Array

MAX_CHUNK_BYTES = 16 << 20  # of a chunk, decoded; larger rows go into chunks of fewer
WORKERS = 4  # that compress at once


def append_rows(array: Any, start: int, parts: Sequence[Array]) -> None:
    """Write rows of episodes into a zarr array from `start` on, and let it end with them.

    Args:
        array: Of zarr.
        start: At most its length; rows behind it are written over.
        parts: Rows [time, ...] of episodes, none of them empty.
    """
    array.resize((start + sum(map(len, parts)), *array.shape[1:]))
    chunk, row_bytes = array.chunks[0], parts[0].nbytes // len(parts[0])
    if max(map(len, parts)) < chunk:  # all is copied together, so then better much at once
        chunk *= max(1, MAX_CHUNK_BYTES // max(1, chunk * row_bytes))
    pieces = list(cut_at_chunks(parts, start, chunk))
    if len(pieces) == 1:
        _put(array, pieces[0])
        return
    with ThreadPoolExecutor(WORKERS) as pool:
        for written in [pool.submit(_put, array, piece) for piece in pieces]:
            written.result()


def _put(array: Any, piece: tuple[int, list[Array]]) -> None:
    start, parts = piece
    rows = parts[0] if len(parts) == 1 else np.concatenate(parts)
    array[start : start + len(rows)] = rows


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
