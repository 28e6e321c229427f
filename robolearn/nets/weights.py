"""A module's weights in a file that is safe to open: safetensors, never pickle."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn
from torch.nn.modules.module import (
    register_module_buffer_registration_hook,
    register_module_parameter_registration_hook,
)

from robolearn.data.normalizer import Normalizer
from robolearn.errors import UserError
from robolearn.files import naming
from robolearn.nets.unallocated import unallocated

MAX_HEAD = 16 << 20  # bytes of a file's list of tensors
MAX_CONSTANTS = 1 << 20  # numbers that a module computes for itself, such as noise levels
KINDS = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.bfloat16: "BF16",
    torch.float16: "F16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
Kinds = dict[str, tuple[tuple[int, ...], str | None]]  # tensor -> shape and type
M = TypeVar("M", bound=nn.Module)


def save_weights(module: nn.Module, path: Path) -> None:
    """Write parameters and buffers; see `save_tensors`."""
    save_tensors(module.state_dict(), path)


def save_tensors(tensors: dict[str, Tensor], path: Path) -> None:
    """Write tensors by name.

    Raises:
        OSError: The disk refuses.
    """
    content = save({name: value.detach().cpu().contiguous() for name, value in tensors.items()})
    with naming(path):
        path.write_bytes(content)  # a file that safetensors writes, nobody but its owner may read


def load_tensors(path: Path) -> dict[str, Tensor]:
    """Read tensors by name.

    Raises:
        UserError: The file is missing or damaged, or a number in it is NaN or infinite.
    """
    read_kinds(path)
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path}: damaged ({error})") from None
    for name, value in tensors.items():
        if value.is_floating_point() and not torch.isfinite(value).all():
            raise UserError(f"{path}: {name} holds NaN or infinity; the training diverged, or the file is damaged")
    return tensors


def build_with_weights(
    build: Callable[[], M],
    path: Path,
    *,
    needs: Mapping[str, tuple[int, ...]] | None = None,
    foreign: str = "of another network",
) -> M:
    """Build a module and read its weights; what a stranger's configuration asks for is never larger than the file.

    The module is first built without memory, on torch's meta device, and compared with the names, shapes and types in
    the file's head. Only what fits is built in earnest.

    Args:
        build: Builds the module.
        path: File that `save_weights` wrote.
        needs: Shapes that have to be in the file before even a plan is made of them.
        foreign: What a file is that does not fit, for the message.

    Raises:
        UserError: The file is missing, damaged, or of another module; or the module cannot be built.
    """
    kinds = read_kinds(path, f"damaged or {foreign}")
    for name, shape in (needs or {}).items():
        if name not in kinds or kinds[name][0] != shape:
            there = kinds[name][0] if name in kinds else "not there"
            raise UserError(f"{path}: damaged or {foreign} ({name} is {there}, expected {shape})")
    _check_plan(_plan(build, len(kinds), path, foreign), kinds, f"{path}: damaged or {foreign}")
    module = build()
    module.load_state_dict(load_tensors(path))
    for name, part in module.named_modules():
        if isinstance(part, Normalizer) and (problem := part.problem()):
            raise UserError(f"{path}: {name}: {problem}")
    return module


def _check_plan(plan: nn.Module, kinds: Kinds, what: str) -> None:
    """Raise a UserError unless a module without memory has the tensors of a file, and few constants beside them."""
    expected = {name: (tuple(value.shape), KINDS.get(value.dtype)) for name, value in plan.state_dict().items()}
    for name in sorted({*expected, *kinds}):
        if expected.get(name) != kinds.get(name):
            raise UserError(f"{what} ({name} is {_describe(kinds, name)}, not {_describe(expected, name)})")
    if sum(buffer.numel() for buffer in plan.buffers()) > MAX_CONSTANTS + sum(math.prod(k[0]) for k in kinds.values()):
        raise UserError(f"{what} (its constants take more than {MAX_CONSTANTS} numbers)")


def read_kinds(path: Path, what: str = "damaged") -> Kinds:
    """Shape and type of every tensor in a file, from its head alone.

    Args:
        path: The file.
        what: What it is if its head makes no sense, for the message.

    Raises:
        UserError: The file is missing or damaged.
    """
    try:
        with path.open("rb") as file:
            head = int.from_bytes(file.read(8), "little")
        if head > MAX_HEAD:
            raise UserError(f"{path}: {what} (a head of {head} bytes; at most {MAX_HEAD} are read)")
        with safe_open(path, "pt") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 (it is no dict)
            return {name: (tuple(part.get_shape()), part.get_dtype()) for name, part in slices.items()}
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path}: {what} ({' '.join(str(error).split())})") from None


def _plan(build: Callable[[], M], num_tensors: int, path: Path, foreign: str) -> M:
    """Build without memory, and no more tensors than a few times those in the file."""
    most, tensors = 4 * num_tensors + 100, set[tuple[int, str]]()

    def count(owner: nn.Module, name: str, _: Any) -> None:
        tensors.add((id(owner), name))  # some are registered again and again while they are computed
        if len(tensors) > most:
            raise UserError(f"it has far more tensors than the {num_tensors} of the file")

    hooks = [register_module_parameter_registration_hook(count), register_module_buffer_registration_hook(count)]
    try:
        with unallocated():
            return build()
    except Exception as error:  # torch raises what it likes at absurd sizes
        raise UserError(f"{path}: damaged or {foreign} ({' '.join(str(error).split())})") from None
    finally:
        for hook in hooks:
            hook.remove()


def _describe(kinds: Kinds, name: str) -> str:
    return f"{kinds[name][1]} {list(kinds[name][0])}" if name in kinds else "missing"
