"""The next batch is gathered while a step computes: one at most, the same, and nothing stays behind."""

import threading

import pytest
import torch

from robolearn.data.ahead import Ahead
from robolearn.data.windows import Windows
from robolearn.errors import UserError

SOON = 20  # [s] that nothing here takes


@pytest.fixture
def windows():
    """Of observations that are not in memory."""
    rows = torch.arange(40.0).reshape(20, 2)
    return Windows({"state": rows}, rows, [8, 20], 2, 3, resident=False)


class Slow:
    """Windows that gather when they are let, and note who asked."""

    def __init__(self, windows):
        self.batch_now, self.asked, self.go = windows.batch, [], threading.Event()
        windows.batch = self.batch

    def batch(self, index):
        self.asked.append((threading.current_thread().name, index.tolist()))
        assert self.go.wait(SOON)
        return self.batch_now(index)


def test_a_batch_is_gathered_while_others_compute(windows):
    slow, index = Slow(windows), torch.tensor([3, 0, 17])
    with Ahead(windows) as ahead:
        ahead.begin(index)  # returns though nothing is there yet
        slow.go.set()
        batch = ahead.batch(index)
    assert [(name.startswith("ahead"), some) for name, some in slow.asked] == [(True, [3, 0, 17])]
    expected = slow.batch_now(index)
    assert torch.equal(batch.obs["state"], expected.obs["state"])
    assert torch.equal(batch.actions, expected.actions)


def test_what_was_begun_is_given_to_none_but_who_asks_for_it(windows):
    with Ahead(windows) as ahead:
        ahead.begin(torch.tensor([1, 2]))
        other = ahead.batch(torch.tensor([2, 1]))
        assert torch.equal(other.actions, windows.batch(torch.tensor([2, 1])).actions)
        again = ahead.batch(torch.tensor([1, 2]))  # gathered anew
        assert torch.equal(again.actions, windows.batch(torch.tensor([1, 2])).actions)


def test_what_is_in_memory_is_not_begun(windows):
    rows = torch.arange(40.0).reshape(20, 2)
    with Ahead(Windows({"state": rows}, rows, [20], 1, 1)) as ahead:
        assert not ahead.waits
        ahead.begin(torch.tensor([1]))
        assert len(ahead) == 20
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("ahead")]


def test_a_failure_comes_with_its_batch_and_no_thread_stays(windows):
    def fail(index):
        raise UserError("a video is damaged")

    windows.batch = fail
    with Ahead(windows) as ahead:
        ahead.begin(torch.tensor([1]))
        with pytest.raises(UserError, match="a video is damaged"):
            ahead.batch(torch.tensor([1]))
        ahead.begin(torch.tensor([2]))  # nobody asks for it
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("ahead")]
