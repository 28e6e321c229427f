"""What an optimizer keeps of each parameter, as tensors in a file."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

OptimizerState = dict[int, dict[str, Tensor]]
"""Number of a parameter -> slot, such as exp_avg -> what is kept in it."""


def named(state: OptimizerState, name: str) -> dict[str, Tensor]:
    """NAME.NUMBER.SLOT -> what is kept there."""
    return {f"{name}.{number}.{slot}": value for number, slots in state.items() for slot, value in slots.items()}


def of_name(tensors: Mapping[str, Tensor], name: str) -> OptimizerState:
    """Those that were `named` so; tensors of other names are left alone."""
    state: OptimizerState = {}
    for key, value in tensors.items():
        owner, *of_parameter = key.rsplit(".", 2)  # a player may be called anything
        if owner == name and len(of_parameter) == 2:
            number, slot = of_parameter
            state.setdefault(int(number), {})[slot] = value
    return state


def shapes_of(optimizer: torch.optim.Optimizer, name: str) -> dict[str, torch.Size]:
    """NAME.NUMBER.SLOT -> shape, of all that Adam or AdamW of one group keeps after its first step."""
    shapes: dict[str, torch.Size] = {}
    for number, parameter in enumerate(optimizer.param_groups[0]["params"]):
        slots = {"step": torch.Size(()), "exp_avg": parameter.shape, "exp_avg_sq": parameter.shape}
        shapes |= {f"{name}.{number}.{slot}": shape for slot, shape in slots.items()}
    return shapes


def take_over(optimizer: torch.optim.Optimizer, state: OptimizerState) -> None:
    """Put back what an optimizer kept; its rates stay as they are."""
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
