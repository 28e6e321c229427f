"""The families and backbones there are: one dict literal each, for command line and checkpoints."""

from __future__ import annotations

from robolearn.nets.mlp import MLPConfig
from robolearn.nets.transformer import TransformerConfig
from robolearn.nets.unet import UNetConfig
from robolearn.policies.diffusion import DiffusionConfig
from robolearn.policies.flow import FlowConfig
from robolearn.policies.regression import RegressionConfig

FamilyConfig = RegressionConfig | DiffusionConfig | FlowConfig
BackboneConfig = MLPConfig | UNetConfig | TransformerConfig

FAMILIES: dict[str, type[FamilyConfig]] = {
    "regression": RegressionConfig,
    "diffusion": DiffusionConfig,
    "flow": FlowConfig,
}
BACKBONES: dict[str, type[BackboneConfig]] = {
    "mlp": MLPConfig,
    "unet": UNetConfig,
    "transformer": TransformerConfig,
}
REGISTRY: dict[str, type] = {**FAMILIES, **BACKBONES}
