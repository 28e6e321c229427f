"""Fingerprints of starts, and what episodes are worth that share them."""

import dataclasses

import numpy as np

from robolearn.starts import groups_of, judged, num_starts, start_of
from tests.rollout.test_metrics import trajectory


def test_equal_starts_have_one_fingerprint_and_others_another():
    start = {"state": np.array([0.1, 0.2]), "nested": {"image": np.zeros((2, 2, 3), np.uint8)}, "text": "go"}
    again = {"text": "go", "nested": {"image": np.zeros((2, 2, 3), np.uint8)}, "state": np.array([0.1, 0.2])}
    assert start_of(start) == start_of(again)
    rounded = {**start, "state": start["state"] + 1e-16}  # the last digit of double precision
    assert start_of(rounded) == start_of(start)
    others = [
        {**start, "state": np.array([0.1, 0.2001])},
        {**start, "text": "stop"},
        {**start, "nested": {"image": np.eye(2, dtype=np.uint8)[..., None].repeat(3, 2)}},
        {**start, "state": np.array([[0.1, 0.2]])},
        {"moved": start["state"], "nested": start["nested"], "text": "go"},
    ]
    assert len({start_of(s) for s in (start, *others)}) == 6
    assert start_of(np.array([0.0])) == start_of(np.array([-0.0]))


def begun(starts, **changes):
    return [dataclasses.replace(trajectory(i, **changes), start=start) for i, start in enumerate(starts)]


def test_starts_are_numbered_as_they_first_occur():
    runs = begun(["b", "a", "b", "c"])
    assert groups_of(runs).tolist() == [0, 1, 0, 2]
    assert num_starts(runs) == 3
    assert groups_of([trajectory(4), trajectory(4), trajectory(5)]).tolist() == [0, 0, 1]  # the seed stands for it


def test_broken_episodes_do_not_count():
    runs = begun(["a", "b", "a", "c", "b"])
    runs[1] = dataclasses.replace(runs[1], broken=True)
    assert [t.episode for t in judged(runs)] == [0, 2, 3, 4]
