"""The families and backbones there are: one dict literal each, for command line and checkpoints."""

from __future__ import annotations

from robolearn.nets.mlp import MLPConfig
from robolearn.nets.transformer import TransformerConfig
from robolearn.nets.unet import UNetConfig
from robolearn.policies.cvae import CVAEConfig
from robolearn.policies.diffusion import DiffusionConfig
from robolearn.policies.flow import FlowConfig
from robolearn.policies.flowmap import FlowMapConfig
from robolearn.policies.gmm import GMMConfig
from robolearn.policies.mip import MIPConfig
from robolearn.policies.mixture import MixtureConfig
from robolearn.policies.regression import RegressionConfig
from robolearn.policies.score import ScoreConfig

FamilyConfig = (
    RegressionConfig
    | MIPConfig
    | GMMConfig
    | CVAEConfig
    | DiffusionConfig
    | ScoreConfig
    | FlowConfig
    | FlowMapConfig
    | MixtureConfig
)
BackboneConfig = MLPConfig | UNetConfig | TransformerConfig

FAMILIES: dict[str, type[FamilyConfig]] = {
    "regression": RegressionConfig,
    "mip": MIPConfig,
    "gmm": GMMConfig,
    "cvae": CVAEConfig,
    "diffusion": DiffusionConfig,
    "score": ScoreConfig,
    "flow": FlowConfig,
    "flowmap": FlowMapConfig,
    "mixture": MixtureConfig,
}
BACKBONES: dict[str, type[BackboneConfig]] = {
    "mlp": MLPConfig,
    "unet": UNetConfig,
    "transformer": TransformerConfig,
}
REGISTRY: dict[str, type] = {**FAMILIES, **BACKBONES}
