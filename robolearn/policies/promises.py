"""What families and backbones promise, which may be anybody's: looked at where it is used, and named where it fails."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from robolearn.errors import UserError
from robolearn.policies.draws import Draws
from robolearn.policies.family import Family, Loss, Player

LOGGED = ("step", "loss", "grad_norm", "lr", "steps_per_s")  # by every training


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


def kept_players(players: Any, family: Family) -> dict[str, Player]:
    """Who is trained.

    Raises:
        UserError: That is nobody, or somebody who has nothing to train.
    """
    name = f"{type(family).__name__}.players"
    if not (isinstance(players, dict) and players and all(isinstance(one, Player) for one in players.values())):
        shown = kind_of(players)
        if isinstance(players, dict):
            shown = f"a dict of {', '.join(map(kind_of, players.values())) or 'nobody'}"
        raise UserError(f"{name} returned {shown}; expected a dict of a Player by name")
    for player, one in players.items():
        if not any(True for _ in one.module.parameters()):
            raise UserError(f"{name}: {player!r} has no parameters; nothing of it can be trained")
    return players


def kept_draws(draws: Any, rows: int, family: Family, method: str = "draw") -> Draws:
    """What a family drew for a loss.

    Raises:
        UserError: That is no tensor by name with a row for each window.
    """
    name = f"{type(family).__name__}.{method}"
    if not isinstance(draws, dict):
        raise UserError(f"{name} returned {kind_of(draws)}; expected a dict of tensors, which may be empty")
    for key, value in draws.items():
        if not isinstance(value, Tensor) or value.shape[:1] != (rows,):
            raise UserError(f"{name} draws {key!r} as {kind_of(value)}; expected a tensor [{rows}, ...]")
    return draws


def kept_noise(noise: Any, rows: int, family: Family) -> Tensor:
    """What a family drew for its samples.

    Raises:
        UserError: That is not a row for each of them.
    """
    if not isinstance(noise, Tensor) or noise.shape[:1] != (rows,):
        raise UserError(
            f"{type(family).__name__}.noise returned {kind_of(noise)}; expected a tensor [{rows}, ...], "
            "a row for each sample"
        )
    return noise


def kept_validation_loss(loss: Any, family: Family) -> Tensor:
    """How well a family explains held-out windows.

    Raises:
        UserError: That is no number.
    """
    if not isinstance(loss, Tensor) or loss.ndim:
        raise UserError(f"{type(family).__name__}.validation_loss returned {kind_of(loss)}; expected a tensor []")
    return loss


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
        if name in LOGGED:
            raise UserError(f"{type(family).__name__}.loss logs {name!r}, which the training logs; choose another name")
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
