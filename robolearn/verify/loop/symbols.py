"""Error symbols: how remainders stay known functions of the state instead of growing boxes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from robolearn.verify.loop.basis import Basis
from robolearn.verify.loop.taylor import TaylorModel, spare


def initial_states(basis: Basis, lower: Tensor, upper: Tensor) -> list[TaylorModel]:
    """The boxes between bounds [b, n], with an initial variable for each of the basis' first dimensions of some width.

    Raises:
        AssertionError: More dimensions have a width than the basis has variables.
    """
    wide = (upper > lower).any(0).nonzero().flatten().tolist()
    assert len(wide) <= basis.variables, "each dimension of some width needs a variable"
    states = [TaylorModel.interval(basis, low, high) for low, high in zip(lower.T, upper.T, strict=True)]
    for variable, i in enumerate(wide, start=1):
        coefficients = states[i].coefficients.clone()
        coefficients[:, variable, 0] = states[i].radius
        states[i] = replace(states[i], coefficients=coefficients, radius=torch.zeros_like(states[i].radius))
    return states


def absorbed(models: Sequence[TaylorModel]) -> list[TaylorModel]:
    """The same set, or a larger one, whose models have no radius: what they had became error symbols.

    Together with their old symbols the models make a zonotope. It gets one new symbol per model; as many of all as
    are too many, those that come nearest to a box, are enclosed in one (Girard 2005). The symbols of all models are
    shared: models that are absorbed together stay coupled, and those that are not must not be mixed any more.

    Args:
        models: Constant in time.
    """
    basis, count = models[0].basis, len(models)
    assert basis.symbols >= 2 * count, "a box of the models and one new symbol each need a place"
    plain = basis.size - basis.symbols
    old = torch.stack([x.coefficients[:, plain:, 0] for x in models], 1)
    fresh = torch.diag_embed(torch.stack([x.radius for x in models], 1))
    columns = torch.cat([old, fresh], 2)
    scale = torch.stack([x.magnitude + x.radius for x in models], 1)
    shares = columns.abs() / (scale + torch.finfo(scale.dtype).tiny)[..., None]
    order = (shares.sum(1) - shares.amax(1)).argsort(1, descending=True)[:, None].expand_as(columns)
    columns = columns.gather(2, order)
    kept, rest = columns[..., : basis.symbols - count], columns[..., basis.symbols - count :]
    box = torch.diag_embed(spare(rest.abs().sum(2)))
    symbols = torch.cat([kept, box], 2)[..., None]
    later = symbols.new_zeros(*symbols.shape[:3], basis.degree)
    return [
        replace(x, coefficients=torch.cat([x.coefficients[:, :plain], s], 1), radius=torch.zeros_like(x.radius))
        for x, s in zip(models, torch.cat([symbols, later], 3).unbind(1), strict=True)
    ]
