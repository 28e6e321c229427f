"""What families and backbones promise, which may be anybody's: looked at where it is used, and named where it fails."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from robolearn.errors import UserError
from robolearn.policies.family import Family, Loss


def built_net(net: Any, cfg: object) -> Any:
    """What a backbone's configuration built.

    Raises:
        UserError: That is no network.
    """
    if not isinstance(net, nn.Module):
        raise UserError(f"{type(cfg).__name__}.build returned {kind_of(net)}; expected the network, a torch.nn.Module")
    return net


def built_family(family: Any, cfg: object) -> Family:
    """What a family's configuration built.

    Raises:
        UserError: That is no family.
    """
    if not isinstance(family, Family):
        raise UserError(f"{type(cfg).__name__}.build returned {kind_of(family)}; expected a Family")
    return family


def kept_loss(result: Any, family: Family) -> Loss:
    """What a family's loss returned.

    Raises:
        UserError: That is no loss and numbers worth logging.
    """
    pair = result if isinstance(result, tuple) and len(result) == 2 else (None, None)
    loss, numbers = pair
    if not (isinstance(loss, Tensor) and loss.ndim == 0 and isinstance(numbers, dict)):
        shown = f"({', '.join(map(kind_of, result))})" if isinstance(result, tuple) else kind_of(result)
        raise UserError(
            f"{type(family).__name__}.loss returned {shown}; expected a tensor of a single number, "
            "and a dict of tensors worth logging, which may be empty"
        )
    for name, value in numbers.items():
        if not isinstance(value, Tensor):
            raise UserError(f"{type(family).__name__}.loss logs {name!r} as {kind_of(value)}; expected a tensor []")
    return loss, numbers


def kept_chunks(chunks: Any, rows: int, family: Family) -> Tensor:
    """What a family sampled.

    Raises:
        UserError: That is not as many chunks as there is noise.
    """
    expected = (rows, *family.chunk_shape)
    if not isinstance(chunks, Tensor) or tuple(chunks.shape) != expected:
        raise UserError(f"{type(family).__name__}.sample returned {kind_of(chunks)}; expected a tensor {[*expected]}")
    return chunks


def kind_of(value: object) -> str:
    """A value in a message: what it is, and of a tensor its shape."""
    if isinstance(value, Tensor):
        return f"a tensor {[*value.shape]}"
    return "None" if value is None else f"a {type(value).__name__}"
