"""A GPU that is none: tensors say that they are elsewhere, and the arithmetic runs on the CPU.

An operation that mixes them with the CPU's raises, as on a GPU. Whatever would make the host wait for the device is
counted in `waits`: reading a number, copying across, and results whose size the device alone knows. Registered through
torch's privateuse1 interface, which is experimental and holds for a whole process: import this in one of its own. Code
behind ``device.type == "cuda"`` is not reached.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils import backend_registration


class _Backend(backend_registration._DummyBackendModule):
    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16]


backend_registration._setup_privateuseone_for_python_backend("pretend", _Backend())

from torch.utils._mode_utils import no_dispatch  # noqa: E402 (both look for the backend when they are imported)
from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402
from torch.utils._pytree import tree_leaves, tree_map  # noqa: E402

DEVICE = torch.device("pretend", 0)
READS = ("_local_scalar_dense", "equal")  # give a number to the host
SIZES = ("nonzero", "masked_select")  # give as many rows as the device finds
COPIES = ("_to_copy", "copy_")
INDEXING = ("index", "index_put_", "_index_put_impl_")

waits: Counter[str] = Counter()


class Remote(torch.Tensor):
    """Says it is on the device; ``inner`` is on the CPU."""

    __torch_function__ = torch._C._disabled_torch_function_impl
    inner: torch.Tensor

    @staticmethod
    def __new__(cls, inner: torch.Tensor) -> Remote:
        with torch.inference_mode(False):
            outer = torch.Tensor._make_wrapper_subclass(
                cls,
                inner.shape,
                strides=inner.stride(),
                storage_offset=inner.storage_offset(),
                dtype=inner.dtype,
                device=DEVICE,
            )
        outer.inner = inner
        return outer

    def __deepcopy__(self, memo: dict[int, Any]) -> Remote:
        copied = Remote(self.inner.detach().clone()).requires_grad_(self.requires_grad)
        if getattr(self, "_is_param", False):  # nn.Parameter asks for this mark
            copied._is_param = True
        return memo.setdefault(id(self), copied)

    def tolist(self) -> Any:
        waits["tolist"] += 1
        return self.inner.tolist()

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


class _Mode(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


def _run(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Do an operation: on the CPU's tensors as it is, on remote ones by their inner tensors."""
    name, asked = func._schema.name.split("::")[1], kwargs.get("device")
    if _has(func, "CompositeImplicitAutograd") and not _has(func, "CPU"):  # inference mode leaves these whole
        with _Mode():
            return func.decompose(*args, **kwargs)
    leaves = tree_leaves((args, kwargs))
    remote = [x for x in leaves if isinstance(x, Remote)]
    local = [x for x in leaves if isinstance(x, torch.Tensor) and not isinstance(x, Remote)]
    to_remote = asked.type == "pretend" if asked is not None else bool(remote)
    if not remote and not to_remote:
        return func(*args, **kwargs)
    if name == "_efficientzerotensor":  # a tangent of forward-mode derivatives
        return Remote(torch.zeros(args[0], dtype=kwargs.get("dtype")))
    if name == "_to_copy" and asked is not None and asked.type == "meta":
        return func(args[0].inner, **kwargs)
    if remote and name not in (*COPIES, *INDEXING) and any(x.dim() for x in local):
        raise RuntimeError(f"{func}: tensors on {DEVICE} and on the CPU")
    _count(name, args, leaves, local, to_remote)
    if asked is not None:
        kwargs = {**kwargs, "device": torch.device("cpu") if asked.type == "pretend" else asked}
    inner_args, inner_kwargs = tree_map(lambda x: x.inner if isinstance(x, Remote) else x, (args, kwargs))
    out = func(*inner_args, **inner_kwargs)
    if torch.Tag.inplace_view in func.tags:
        with no_dispatch():
            func(*args, **kwargs)  # the outer tensor changes its shape too
    if name == "copy_":
        return args[0]
    if not to_remote or name in READS:
        return out
    known = {id(x.inner): x for x in remote} if func._schema.is_mutable else {}
    return tree_map(lambda x: _outer(x, known) if isinstance(x, torch.Tensor) else x, out)


def _outer(inner: torch.Tensor, known: dict[int, Remote]) -> Remote:
    return known[id(inner)] if id(inner) in known else Remote(inner)


def _has(func: Any, key: str) -> bool:
    return torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), key)


def _count(name: str, args: Any, leaves: list[Any], local: list[torch.Tensor], to_remote: bool) -> None:
    """Note what the host would wait for."""
    if name in COPIES:
        source, target = (args[1], isinstance(args[0], Remote)) if name == "copy_" else (args[0], to_remote)
        waits["copy"] += isinstance(source, Remote) != target and args[0].numel() > 0
    masks = name in INDEXING and any(isinstance(x, torch.Tensor) and x.dtype == torch.bool for x in leaves[1:])
    waits[name] += name in READS or name in SIZES or masks
    waits["index from the host"] += name in INDEXING and bool(local)


class _AnyGenerator(type):
    def __instancecheck__(cls, value: object) -> bool:
        return isinstance(value, _GENERATOR)


_GENERATOR = torch.Generator


class _Generator(metaclass=_AnyGenerator):
    """Stands in for torch.Generator; one of the device is a stream of the CPU that says it is there."""

    def __new__(cls, device: Any = "cpu") -> Any:
        return _RemoteGenerator() if torch.device(device).type == "pretend" else _GENERATOR(device)


class _RemoteGenerator(_GENERATOR):
    device = DEVICE


@contextmanager
def pretend_device() -> Iterator[None]:
    """Within it, tensors can be on the device "pretend"."""
    lift, initialize = torch._C._only_lift_cpu_tensors(), torch.cuda._lazy_init
    torch.Generator, torch.cuda._lazy_init = _Generator, lambda: None
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    torch._C._set_only_lift_cpu_tensors(True)
    try:
        with _Mode():
            yield
    finally:
        torch.Generator, torch.cuda._lazy_init = _GENERATOR, initialize
        torch.__future__.set_overwrite_module_params_on_conversion(False)
        torch._C._set_only_lift_cpu_tensors(lift)
