"""A CUDA graph on the CPU: operations on fixed memory, repeated without any of the Python that asked for them.

Recording does an operation once, to learn its results' memory, and undoes all of it at the end: a graph's recording
does nothing. A repetition does the same operations on the same memory, with the numbers of Python that were current
then. What a GPU refuses while it records raises: a number for the host, and results whose size the device decides.
"""

from __future__ import annotations

from unittest import mock

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

REFUSED = ("_local_scalar_dense", "equal", "nonzero", "masked_select")


class CpuRecorder:
    """Stands in for `CudaRecorder`.

    Attributes:
        recorded: Operations of each recording.
        repeated: Repetitions of all of them.
    """

    def __init__(self):
        self.recorded, self.repeated = [], 0

    def make(self, act):
        act()

    def record(self, act):
        tape = _Tape()
        before = torch.get_rng_state()
        with tape, mock.patch.object(torch.nn.functional, "one_hot", _unchecked_one_hot):
            act()
        tape.undo()
        torch.set_rng_state(before)
        self.recorded.append(len(tape.done))

        def repeat():
            self.repeated += 1
            tape.repeat()

        return repeat


class _Tape(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.done, self._own, self._before, self._generators = [], {}, {}, {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name, kwargs = func._schema.name.split("::")[1], kwargs or {}
        if name in REFUSED:
            raise RuntimeError(f"{func} makes the host wait, or gives as many rows as the device finds")
        leaves = [x for x in tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor)]
        if func._schema.is_mutable:
            self._keep(leaves)
        generator = kwargs.get("generator")
        if generator is not None and generator not in self._generators:
            self._generators[generator] = generator.get_state()
        frozen = tree_map(_frozen, (args, kwargs))  # a parameter may be given other memory, such as that of bfloat16
        out = func(*args, **kwargs)
        memory = {0, *map(_memory, leaves)}  # at 0 there is none: nothing, or the zeros of a tangent
        made = [x for x in tree_leaves(out) if isinstance(x, torch.Tensor)]
        fresh = [_memory(x) not in memory for x in made]
        for x, is_fresh in zip(made, fresh, strict=True):
            if is_fresh:
                self._own[_memory(x)] = x.untyped_storage()  # alive, so that no other memory has its address
        if func._schema.is_mutable or any(fresh):
            self.done.append(
                (func, frozen, [_frozen(x) if is_fresh else None for x, is_fresh in zip(made, fresh, strict=True)])
            )
        return out

    def _keep(self, leaves):
        """What is there before the recording stays as it is."""
        for x in leaves:
            if _memory(x) not in (0, *self._own, *self._before):
                self._before[_memory(x)] = x.untyped_storage(), x.untyped_storage().clone()

    def undo(self):
        for storage, before in self._before.values():
            storage.copy_(before)
        for generator, before in self._generators.items():
            generator.set_state(before)

    @torch.no_grad()
    def repeat(self):
        for func, (args, kwargs), results in self.done:
            made = [x for x in tree_leaves(func(*args, **kwargs)) if isinstance(x, torch.Tensor)]
            for there, new in zip(results, made, strict=True):
                if there is not None:
                    assert there.shape == new.shape, f"{func} has another shape"
                    there.copy_(new)


def _unchecked_one_hot(index, num_classes):
    """As on a GPU: a CPU's asks for the least and the largest number."""
    return index.new_zeros(*index.shape, num_classes).scatter_(-1, index[..., None], 1)


def _frozen(x):
    return x.detach() if isinstance(x, torch.Tensor) else x


def _memory(x):
    return 0 if x._is_zerotensor() else x.untyped_storage().data_ptr()
