"""Noise that is smooth in time: its power falls with the frequency f as f^-beta.

Source: Timmer and Koenig 1995, On generating power law noise.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def colored_noise(
    num: int, length: int, dim: int, beta: float, generator: torch.Generator
) -> Float[Tensor, "num length dim"]:
    """Gaussian sequences of mean 0 and variance 1, independent of each other, with a power law along time.

    Their Fourier coefficients are drawn, each with variance (k / length)^-beta at frequency k / length. The constant
    part has as much power as the lowest frequency, so that a sequence may push to one side all along.

    Args:
        num: Sequences.
        length: Steps.
        dim: Numbers of a step, each a sequence of its own.
        beta: Exponent, at least 0; 0 is white noise.
        generator: Draws them.
    """
    if length == 1 or num == 0:  # no frequency to speak of, and no sequence, which MKL refuses
        return torch.randn(num, length, dim, generator=generator)
    frequencies = torch.fft.rfftfreq(length)
    frequencies[0] = frequencies[1]
    scale = frequencies ** (-beta / 2)
    real, imaginary = torch.randn(2, num, dim, len(scale), generator=generator)
    # The constant part, and the fastest one of an even length, are real: all of their power is in one number.
    alone = [0, len(scale) - 1] if length % 2 == 0 else [0]
    real[..., alone] *= 2**0.5
    imaginary[..., alone] = 0
    weights = torch.full_like(scale, 4.0)  # a frequency and its mirror image, each with two numbers of variance 1
    weights[alone] = 2.0
    std = (weights * scale.square()).sum().sqrt() / length
    sequences = torch.fft.irfft(torch.complex(real, imaginary) * scale, n=length) / std
    return sequences.transpose(1, 2).contiguous()
