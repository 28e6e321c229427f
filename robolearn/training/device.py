"""Where to compute: device, threads and processes, decided once at the start of a command."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext

import torch
import torch.distributed as dist

from robolearn.errors import UserError

MAX_THREADS = 4096
DEVICES = ("auto", "cpu", "cuda")


def choose_device(name: str, *, threads: int | None = None) -> torch.device:
    """Set the number of CPU threads and choose the device.

    Args:
        name: auto, cpu or cuda.
        threads: CPU threads; None takes one per two cores, at most 4: small networks lose more at the barriers
            than they gain, the more so on a busy machine.

    Raises:
        UserError: It is none of these, cuda was asked for and there is none, threads is not in 1..MAX_THREADS, or see
            check_precision.
    """
    check_precision()
    if threads is not None and not 1 <= threads <= MAX_THREADS:
        raise UserError(f"`threads` {threads} must be at least 1 and at most {MAX_THREADS}")
    if name not in DEVICES:
        raise UserError(f"`device` {name}: choose from {', '.join(DEVICES)}")
    torch.set_num_threads(threads or min(4, max(1, len(os.sched_getaffinity(0)) // 2)))
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("`device` cuda: this machine has no usable CUDA device; choose cpu or auto")
    if name == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    torch.cuda.set_device(device)  # what names no device, such as NCCL, is then meant for this one
    return device


def usable_device(name: torch.device | str) -> torch.device:
    """A device by torch's name of it, or by auto; the number of threads stays as it is.

    Raises:
        UserError: torch knows no such device, or has none here; see also check_precision.
    """
    check_precision()
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:  # the latter of a torch that was built without it
        raise UserError(f"`device` {name}: this machine has none that torch can use; choose cpu or auto") from error


def check_precision() -> None:
    """Refuse a program that computes in double precision: networks here do not, and nor do their files.

    Raises:
        UserError: torch makes new tensors of another type than float32.
    """
    if (dtype := torch.get_default_dtype()) != torch.float32:
        raise UserError(f"this program made {dtype} torch's default; call torch.set_default_dtype(torch.float32)")


def autocast(device: torch.device, choice: str) -> AbstractContextManager[object]:
    """bfloat16 autocast, or nothing.

    Args:
        device: Where.
        choice: on, off, or auto: where it is faster.
    """
    return torch.autocast(device.type, torch.bfloat16) if is_bfloat16(device, choice) else nullcontext()


def is_bfloat16(device: torch.device, choice: str) -> bool:
    """What such a choice means."""
    return gains_by_bfloat16(device) if choice == "auto" else choice == "on"


def gains_by_bfloat16(device: torch.device) -> bool:
    """Whether policies of the usual sizes train faster in bfloat16 than in float32.

    They do on a CPU that multiplies it. A GPU is done with a step's arithmetic long before the host has asked for it,
    and autocast has to ask for more: there the U-Net took 1.6 times as long (docs/results/gpu.md).
    """
    if device.type != "cpu":
        return False
    capabilities = getattr(torch.cpu, "get_capabilities", dict)()  # not in every torch
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def num_processes() -> int:
    """Processes that torchrun started, or just this one."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def rank() -> int:
    """This process's number among those that train together."""
    return int(os.environ.get("RANK", "0"))


class Processes:
    """The processes that train together under torchrun, or just this one.

    Attributes:
        rank: This process.
        count: All of them.
    """

    def __init__(self, device: torch.device):
        self.count = num_processes()
        self.rank = rank()
        if self.count > 1:
            dist.init_process_group("nccl" if device.type == "cuda" else "gloo")

    @property
    def is_first(self) -> bool:
        """Whether this process writes files and prints."""
        return self.rank == 0

    def share(self, batch_size: int) -> slice:
        """This process's part of a joint batch.

        Raises:
            UserError: The batch cannot be dealt out evenly.
        """
        if batch_size % self.count:
            raise UserError(f"`batch_size` {batch_size} must be a multiple of the {self.count} processes")
        size = batch_size // self.count
        return slice(self.rank * size, (self.rank + 1) * size)

    def any(self, flag: bool, device: torch.device, *, now: bool = True) -> bool:
        """Whether the flag is set in any process, so that all stop at the same step.

        Args:
            flag: Of this process.
            device: Where to compute.
            now: Whether the processes ask one another, for which the host waits; without, several answer no.
        """
        if self.count == 1:
            return flag
        if not now:
            return False
        shared = torch.tensor(float(flag), device=device)
        dist.all_reduce(shared, dist.ReduceOp.MAX)
        return bool(shared.item())

    def mean(self, values: torch.Tensor) -> torch.Tensor:
        """Mean of each value over the processes."""
        if self.count > 1:
            dist.all_reduce(values)
        return values / self.count

    def close(self) -> None:
        """Leave the group, all at once: the first still writes while the others are through."""
        if self.count > 1:
            dist.barrier()
            dist.destroy_process_group()
