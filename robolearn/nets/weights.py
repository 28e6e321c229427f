"""A module's weights in a file that is safe to open: safetensors, never pickle."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn


def save_weights(module: nn.Module, path: Path) -> None:
    """Write parameters and buffers; see `save_tensors`."""
    save_tensors(module.state_dict(), path)


def save_tensors(tensors: dict[str, Tensor], path: Path) -> None:
    """Write tensors by name.

    Raises:
        OSError: The disk refuses.
    """
    try:
        save_file({name: value.detach().cpu().contiguous() for name, value in tensors.items()}, path)
    except SafetensorError as error:  # it wraps what the operating system says
        raise OSError(f"{path}: cannot be written ({error})") from None


def load_weights(module: nn.Module, path: Path, foreign: str = "of another network") -> None:
    """Read what `save_weights` wrote into a module of the same shapes.

    Args:
        module: Takes the weights.
        path: The file.
        foreign: What a file is that does not fit, for the message.

    Raises:
        ValueError: The file is missing, damaged or of another module.
    """
    try:
        module.load_state_dict(load_file(path))
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file") from None
    except (SafetensorError, RuntimeError) as error:
        raise ValueError(f"{path}: damaged or {foreign} ({str(error).splitlines()[0]})") from None
