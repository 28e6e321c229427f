"""What of a camera's images a network sees: their middle, and in how many pixels.

    recorded 480 x 640 --crop 448 448--> 448 x 448 --resize 112 112--> 112 x 112

It is computed where the network is, on bytes and from bytes to bytes, by the same operations in training, in acting and
in an exported policy. A pixel of the smaller image is the mean of those that it covers, under a triangle of twice that
width, which is bilinear interpolation with antialiasing. Along each axis that is a product with a matrix, of whole
65536ths: products with bytes and their sums are exact in float32, so that it does not matter in which order, on what
device or by whose library they are computed. Between the axes images are rounded to bytes, as Pillow does.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int, Shaped, UInt8
from torch import Tensor

from robolearn.errors import UserError

Size = tuple[int, int]
UNITS = 1 << 16  # of shares; with the 8 bits of a byte as many as float32 holds


@dataclass(frozen=True)
class View:
    """Of the images of all cameras.

    Attributes:
        crop: Height and width of the middle that is seen [px of what was recorded]; None for all of it.
        resize: Height and width that it is brought to; None for its own.
    """

    crop: Size | None = None
    resize: Size | None = None

    @property
    def is_plain(self) -> bool:
        """Whether images are seen as they were recorded."""
        return self == View()

    def seen(self, shape: tuple[int, ...]) -> tuple[int, int, int]:
        """Shape [h, w, c] in which an image [h, w, c] is seen.

        Raises:
            UserError: The crop is larger than the image, or the image would be enlarged.
        """
        height, width, channels = shape
        cropped = self.crop or (height, width)
        if cropped[0] > height or cropped[1] > width:
            raise UserError(f"`vision.crop` {_said(cropped)}: the images are {_said((height, width))}")
        resized = self.resize or cropped
        if resized[0] > cropped[0] or resized[1] > cropped[1]:
            limit = "the images are" if self.crop is None else "`vision.crop` is"
            raise UserError(f"`vision.resize` {_said(resized)}: {limit} {_said(cropped)}; images are made smaller only")
        return *resized, channels

    def apply(
        self, images: Shaped[Tensor, "*n h w c"], shift: Int[Tensor, "n 2"] | None = None
    ) -> Shaped[Tensor, "*n H W c"]:
        """Images as they are seen; those that have the size in which they are seen already stay.

        Args:
            images: As they were recorded, or [n, o, h, w, c] with a shift.
            shift: By how many pixels of what is seen they are moved down and to the right, for each n.
        """
        if shift is None:
            if self.is_plain or images.shape[-3:-1] == (self.resize or self.crop):
                return images
            images = self._middle(images)
        else:
            images = self._moved(images, shift)
        return images if self.resize is None else resize_images(images, self.resize)

    def _middle(self, images: Shaped[Tensor, "*n h w c"]) -> Shaped[Tensor, "*n H W c"]:
        (top, height), (left, width) = self._places(images)
        return images[..., top : top + height, left : left + width, :]

    def _moved(self, images: UInt8[Tensor, "n o h w c"], shift: Int[Tensor, "n 2"]) -> UInt8[Tensor, "n o H W c"]:
        """The middle of moved images: of what lies around it as much as there is, then the edge repeated."""
        b, o, h, w, c = images.shape
        (top, height), (left, width) = self._places(images)
        rows, columns = self.resize or (height, width)
        down, right = shift[:, :1] * height / rows, shift[:, 1:] * width / columns
        y = (torch.arange(top, top + height, device=images.device) - down.round().long()).clamp(0, h - 1)
        x = (torch.arange(left, left + width, device=images.device) - right.round().long()).clamp(0, w - 1)
        first = h * torch.arange(b * o, device=images.device).view(b, o, 1)
        pixels = (w * (first + y[:, None]))[..., None] + x[:, None, None]  # [b, o, H, W]
        return images.reshape(-1, c).index_select(0, pixels.flatten()).view(b, o, height, width, c)

    def _places(self, images: Tensor) -> tuple[Size, Size]:
        """Where the middle begins, and how long it is, along either axis."""
        sizes = images.shape[-3:-1]
        height, width = (((whole - part) // 2, part) for whole, part in zip(sizes, self.crop or sizes, strict=True))
        return height, width


AS_RECORDED = View()


def resize_images(images: Shaped[Tensor, "*n h w c"], size: Size) -> UInt8[Tensor, "*n H W c"]:
    """Make images smaller, antialiased, and round them to bytes."""
    height, width, channels = images.shape[-3:]
    down, across = shares(height, size[0], images.device), shares(width, size[1], images.device)
    with torch.autocast(images.device.type, enabled=False):  # bfloat16 has no room for exact products
        x = (down @ images.reshape(-1, height, width * channels).float()).round()
        x = (across @ x.reshape(-1, width, channels)).round()
    return x.reshape(*images.shape[:-3], *size, channels).to(torch.uint8)


def shares(before: int, after: int, device: torch.device | str = "cpu") -> Float[Tensor, "after before"]:
    """Which share each of the pixels before has in each of the fewer ones after, along one axis, in whole 65536ths."""
    exact = {"dtype": torch.float64, "device": device}
    scale = before / after
    pixel, center = torch.arange(before, **exact) + 0.5, (torch.arange(after, **exact)[:, None] + 0.5) * scale
    weight = (1 - (pixel - center).abs() / scale).clamp(min=0)
    whole = (UNITS * weight / weight.sum(1, keepdim=True)).round()
    rest = UNITS - whole.sum(1, keepdim=True)  # goes to the first of the largest
    first = torch.arange(before, device=device) == whole.argmax(1, keepdim=True)
    return ((whole + rest * first) / UNITS).float()


def _said(size: Size) -> str:
    return f"{size[0]} x {size[1]}"
