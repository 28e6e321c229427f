"""Random shifts and colors for training images, on the device, as functions of what was drawn before.

All images that one camera contributes to a window get the same change, so that motion stays what it was.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from robolearn.data.view import AS_RECORDED, View

SHIFT, COLOR = "augment.shift", "augment.color"
MAX_CHANNELS = 4


def augment_draws(batch: int, num_cameras: int, shift: int, *, generator: torch.Generator) -> dict[str, Tensor]:
    """Draw what `augment` needs for a batch; nothing without cameras.

    Args:
        batch: Windows.
        num_cameras: Cameras, each with draws of its own.
        shift: Largest shift [px of what the network sees].
        generator: On the device of the images.

    Returns:
        Whole pixels down and to the right [b, cameras, 2] and uniform numbers in [-1, 1] [b, cameras, ...].
    """
    if num_cameras == 0:
        return {}
    size, device = (batch, num_cameras), generator.device
    color = torch.rand(*size, 2 + MAX_CHANNELS, generator=generator, device=device)
    return {
        SHIFT: torch.randint(-shift, shift + 1, (*size, 2), generator=generator, device=device),
        COLOR: 2 * color - 1,
    }


def augment(
    obs: dict[str, Tensor],
    cameras: tuple[str, ...],
    draws: dict[str, Tensor],
    jitter: float,
    view: View = AS_RECORDED,
    hue: float = 0.0,
) -> dict[str, Tensor]:
    """Shift the images of a batch, bring them to what a network sees, and recolor them; the rest stays as it is.

    A shift moves what is cropped, so that it shows what was recorded there; where there is no more, and without a crop,
    the edge is repeated (Yarats et al. 2021, DrQ).

    Args:
        obs: Key -> [b, o, ...], images uint8 [b, o, h, w, c].
        cameras: Keys of the images, in the order of the draws.
        draws: From `augment_draws`.
        jitter: Strength of the color changes in [0, 1); see `recolor`.
        view: What the network sees of an image.
        hue: Largest share of a turn by which the hues of an image are turned, of images with three channels alone; see
            `turn_hue`.
    """
    changed = {}
    for i, key in enumerate(cameras):
        images, color = view.apply(obs[key], draws[SHIFT][:, i]), draws[COLOR][:, i]
        if hue:
            # The gain of a fourth channel, which images with a hue do not have: nothing more has to be drawn.
            images = turn_hue(images, 2 * math.pi * hue * color[:, -1])
        changed[key] = recolor(images, jitter * color) if jitter else images
    return {**obs, **changed}


def turn_hue(images: UInt8[Tensor, "b o h w 3"], angle: Float[Tensor, " b"]) -> UInt8[Tensor, "b o h w 3"]:
    """Turn colors about the axis of the grays, which stay as they are: by a third of a turn red becomes green.

    Args:
        images: 0 .. 255.
        angle: By which all pixels of a window's images are turned [rad].

    Source: Rodrigues' formula, with the axis (1, 1, 1) / sqrt(3).
    """
    one = torch.eye(3, device=images.device)
    around = (one.roll(1, 0) - one.roll(-1, 0)) / 3**0.5  # the cross product with the axis; no copy from the host
    cos, sin = angle.cos()[:, None, None], angle.sin()[:, None, None]
    turn = cos * one + (1 - cos) / 3 + sin * around
    turned = images.flatten(1, 3).float() @ turn.transpose(1, 2)
    return turned.round_().clamp_(0, 255).to(torch.uint8).view(images.shape)


def recolor(images: UInt8[Tensor, "b o h w c"], amount: Float[Tensor, "b d"]) -> UInt8[Tensor, "b o h w c"]:
    """Change brightness, contrast about mid-gray, and the gain of each channel, in this order.

    Args:
        images: 0 .. 255.
        amount: Brightness in units of the full range, then relative contrast and one relative gain per channel,
            all 0 for no change.
    """
    brightness, contrast, gain = amount[:, :1], 1 + amount[:, 1:2], 1 + amount[:, 2 : 2 + images.shape[4]]
    offset = 255 * gain * (contrast * (brightness - 0.5) + 0.5)
    scale, offset = ((x[:, None, None, None]) for x in (gain * contrast, offset))
    return torch.addcmul(offset, images, scale).round_().clamp_(0, 255).to(torch.uint8)
