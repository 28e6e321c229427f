"""Rows of episodes are cut at the edges of chunks, and large ones are not copied."""

import hypothesis.strategies as st
import numpy as np
from hypothesis import given

from robolearn.data.pieces import cut_at_chunks


@given(st.lists(st.integers(1, 20), min_size=1, max_size=6), st.integers(0, 30), st.integers(1, 9))
def test_pieces_cover_all_rows_and_share_no_chunk(lengths, start, chunk):
    rows = np.arange(sum(lengths))[:, None]
    parts = np.split(rows, np.cumsum(lengths)[:-1])
    at, edges = start, []
    for first, piece in cut_at_chunks(parts, start, chunk):
        assert first == at
        at += sum(map(len, piece))
        edges.append(at)
        np.testing.assert_array_equal(np.concatenate(piece), rows[first - start : at - start])
        assert len(piece) == 1 or at // chunk * chunk <= first // chunk * chunk + chunk
    assert at == start + len(rows)
    assert all(edge % chunk == 0 for edge in edges[:-1])


def test_whole_chunks_of_an_episode_are_one_piece_and_no_copy():
    one, two = np.zeros((25, 2)), np.ones((9, 2))
    pieces = list(cut_at_chunks([one, two], 10, 10))
    assert [(first, [len(rows) for rows in piece]) for first, piece in pieces] == [(10, [20]), (30, [5, 5]), (40, [4])]
    assert pieces[0][1][0].base is one
