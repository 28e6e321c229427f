"""Which methods there are, by name."""

from __future__ import annotations

from robolearn.config import find
from robolearn.representation.autoencoder import AutoencoderConfig
from robolearn.representation.contrastive import ContrastiveConfig
from robolearn.representation.masked import MaskedConfig
from robolearn.representation.method import MethodConfig
from robolearn.representation.vae import VAEConfig

METHODS: dict[str, type[MethodConfig]] = {
    "autoencoder": AutoencoderConfig,
    "vae": VAEConfig,
    "contrastive": ContrastiveConfig,
    "masked": MaskedConfig,
}


def find_method(name: str) -> type[MethodConfig]:
    """The configuration class of a method.

    Raises:
        UserError: There is none of this name.
    """
    return find("method", name, METHODS)
