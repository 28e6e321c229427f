"""What depends on an input is on the tape, or refused: no way past torch's operations makes a constant of it."""

import copy

import numpy as np
import pytest
import torch

from robolearn.nets.tape import record

PAST = {
    "a list": lambda x: torch.tensor(x.tolist()),
    "numpy": lambda x: torch.from_numpy(x.numpy().copy()),
    "numpy's memory": lambda x: torch.from_numpy(x.detach().numpy()),
    "numpy's function": lambda x: torch.from_numpy(np.sin(np.asarray(x))),
    "numpy's exchange": lambda x: torch.from_numpy(np.from_dlpack(x).copy()),
    "torch's exchange": lambda x: torch.utils.dlpack.from_dlpack(torch.utils.dlpack.to_dlpack(x)),
    "a copy": copy.copy,
    "a deep copy": copy.deepcopy,
    "memory": lambda x: torch.tensor(x.untyped_storage().tolist()[:4]).float().view(2, 2),
    "a parameter": lambda x: torch.nn.Parameter(x, requires_grad=False),
    "a subclass": lambda x: x.as_subclass(torch.Tensor),
}
KEPT = {
    "detached": lambda x: x.detach(),
    "data": lambda x: x.data,
    "a buffer": torch.nn.Buffer,
    "rows": lambda x: torch.stack(list(x)),
    "other bits": lambda x: x.view(torch.int32).view(torch.float32),
    "a clone": torch.clone,
}


@pytest.mark.parametrize("computed", [False, True])
@pytest.mark.parametrize("way", PAST)
def test_numbers_that_are_read_are_no_constants(way, computed):
    with pytest.raises(ValueError, match=r"its own numbers.* graph"):
        record(lambda x: x + 2 * PAST[way](3 * x if computed else x), {"x": torch.ones(2, 2)})


@pytest.mark.parametrize("way", PAST)
def test_constants_may_be_read_in_any_way(way):
    weight = torch.ones(2, 2)
    tape, _ = record(lambda x: x + PAST[way](weight), {"x": torch.ones(2, 2)})
    assert [operation.name for operation in tape.operations] == ["aten.add.Tensor"]


@pytest.mark.parametrize("way", KEPT)
def test_other_names_of_a_tensor_depend_on_what_it_does(way):
    tape, result = record(lambda x: KEPT[way](x) + 1, {"x": torch.ones(2, 2)})
    assert tape.reaches(result)
