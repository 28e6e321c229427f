"""A policy's whole sampler as a function of named tensors: observations and noise in, chunks in physical units out."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from robolearn.errors import UserError
from robolearn.nets.transformer import plain_attention
from robolearn.nets.unet_rows import whole_convolutions
from robolearn.policies.policy import Policy
from robolearn.policies.prefix import Prefix
from robolearn.policies.registry import name_of

LARGEST_FILE = 2**31 - 1  # bytes of what ONNX can be written as


class Sampler(nn.Module):
    """p(chunk | observations) as a network without options.

    Args:
        policy: In evaluation mode, on the CPU, with its sampler chosen.
        samples: Chunks that one call returns.

    Attributes:
        inputs: Name -> example, whose shape and type every call has.
    """

    def __init__(self, policy: Policy, samples: int) -> None:
        super().__init__()
        cfg = policy.cfg
        self.policy, self.keys = policy, input_names(policy)
        self.inputs = {self.keys[key]: zeros for key, zeros in policy.blank().items()}
        self.inputs["noise"] = policy.family.noise(samples, generator=torch.Generator())
        if cfg.prefix_horizon:
            self.inputs["prefix"] = torch.zeros(1, cfg.prefix_horizon, cfg.action_dim)
            self.inputs["prefix_length"] = torch.zeros(1, dtype=torch.int64)

    def forward(self, given: dict[str, Tensor]) -> Tensor:
        """Chunks [n, t, a] in physical units."""
        prefix = Prefix(given["prefix"], given["prefix_length"]) if "prefix" in given else None
        return self.policy.act({key: given[name] for key, name in self.keys.items()}, given["noise"], prefix)


def input_names(policy: Policy) -> dict[str, str]:
    """Key of an observation -> name of the network's input; a key may be any text, a name may not."""
    return {key: f"obs{i}" for i, key in enumerate(policy.cfg.obs_shapes)}


def write_network(sampler: Sampler, path: Path, kind: str) -> None:
    """Write a sampler as ONNX or as a program of torch.export.

    Args:
        sampler: What is written.
        path: The file.
        kind: onnx or torch.

    Raises:
        UserError: It cannot be written like this; says which operation stands in the way.
    """
    cfg = sampler.policy.cfg
    try:
        (_write_onnx if kind == "onnx" else _write_torch)(sampler, path)
    except UserError as error:
        raise UserError(f"{name_of(cfg.family)} on {name_of(cfg.backbone)} cannot be deployed: {error}") from None


def _write_onnx(sampler: Sampler, path: Path) -> None:
    from robolearn.deploy.graph import to_graph

    model = to_graph(lambda **given: sampler(given), sampler.inputs)
    if model.ByteSize() > LARGEST_FILE:
        raise UserError(f"it has {model.ByteSize()} bytes, ONNX at most {LARGEST_FILE}; choose `format` torch")
    path.write_bytes(model.SerializeToString())


def _write_torch(sampler: Sampler, path: Path) -> None:
    with plain_attention(), whole_convolutions(), torch.no_grad():
        program = torch.export.export(sampler, (sampler.inputs,))
    program.example_inputs = None  # they would be pickled
    torch.export.save(program, path)
