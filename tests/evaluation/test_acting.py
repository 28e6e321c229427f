"""A trained policy is loaded from a run or a folder, to wherever torch can compute."""

from typing import Any

import pytest
import torch

from robolearn.evaluation.acting import load_policy


def test_a_step_is_a_number_or_text(trained_pair):
    by_number, by_text = (load_policy(trained_pair, checkpoint=step).state_dict() for step in (2, "2"))
    assert all(torch.equal(by_number[name], by_text[name]) for name in by_text)


def test_auto_is_a_device_as_everywhere(trained_pair):
    threads = torch.get_num_threads()
    assert load_policy(trained_pair, device="auto").device.type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize("name", ["gpu", "cuda:999", ""])
def test_a_device_that_is_not_there_is_one_line(trained_pair, name: Any):
    with pytest.raises(ValueError, match=f"^`device` {name}: this machine has none that torch can use"):
        load_policy(trained_pair, device=name)
