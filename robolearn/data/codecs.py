"""The codecs that are admitted, and how much a compressed chunk becomes, found out before it is decoded.

Codecs turn bytes into numbers and some of those that zarr knows run what they find (pickle) or make objects
(json2, msgpack2, vlen-*). The lists below are the whole of what is ever made for a store.
"""

from __future__ import annotations

import bz2
import lzma
import re
import zlib
from typing import Any

import numpy as np
from numcodecs.zstd import decompress as zstd_decompress

from robolearn.errors import UserError

COMPRESSORS_V2 = ("blosc", "zstd", "lz4", "zlib", "gzip", "bz2", "lzma", "imagecodecs_jpeg2k")
FILTERS_V2 = (
    *("shuffle", "delta", "fixedscaleoffset", "quantize", "bitround", "astype", "packbits"),
    *("crc32", "crc32c", "adler32", "fletcher32", "jenkins_lookup3"),
)
COMPRESSORS_V3 = ("blosc", "zstd", "gzip")
CODECS_V3 = ("bytes", "transpose", "crc32c", "sharding_indexed", *COMPRESSORS_V3)
NUMBERS_V2 = re.compile(r"[<>|=]?(b1|[iu][1248]|f[248])")
NUMBERS_V3 = re.compile(r"bool|u?int(8|16|32|64)|float(16|32|64)")
SLACK = 64  # bytes of checksums inside a compressed chunk
UNCOUNTED = 1 << 28  # a deflated chunk that cannot become more than this is not decoded for counting
LZMA_MEMORY = 1 << 27


class CodecError(UserError):
    """A codec is not admitted, or not installed: one key cannot be read, and says nothing of the others."""


def absent_codec(codec: Any) -> str:
    """Say that a codec is not installed, and what brings it."""
    name = codec.get("id") if isinstance(codec, dict) else codec
    return f'its codec {name!r} is not installed; python -m pip install "robolearn[formats]" brings codecs of images'


def check_codec_v2(codec: Any, admitted: tuple[str, ...], what: str) -> str:
    """Id of a codec of zarr v2.

    Raises:
        CodecError: It is none of those admitted.
        UserError: It has other options than numbers and words.
    """
    if not isinstance(codec, dict) or codec.get("id") not in admitted:
        name = codec.get("id") if isinstance(codec, dict) else codec
        raise CodecError(f"{what} {name!r} is not admitted (there are: {', '.join(admitted)})")
    for key, value in codec.items():
        if not isinstance(value, str | int | float | None):
            raise UserError(f"{what} {codec['id']!r} has the option {key} = {value!r}, no number and no word")
        if "type" in key and isinstance(value, str) and not NUMBERS_V2.fullmatch(value):
            raise UserError(f"{what} {codec['id']!r} has the option {key} = {value!r}, no type of numbers")
    return codec["id"]


def check_decoded_size(compressor: str | None, content: bytes | memoryview, limit: int) -> None:
    """Refuse a chunk that becomes more than `limit` bytes when its compressor undoes it.

    Args:
        compressor: Of COMPRESSORS_V2 or COMPRESSORS_V3; None for none.
        content: Compressed.
        limit: Bytes that the chunk becomes, checksums aside.

    Raises:
        UserError: It becomes more, or is cut off where that shows in its head.
    """
    if compressor is None:
        size = len(content)
    elif compressor == "blosc":
        size = int.from_bytes(content[4:8], "little")
        if len(content) < 16 or int.from_bytes(content[12:16], "little") > len(content):  # Blosc would read on
            raise UserError(f"is cut off after {len(content)} bytes")
    elif compressor == "lz4":
        size = int.from_bytes(content[:4], "little")
    elif compressor == "zstd":
        size = _zstd_size(content, limit)
    elif compressor in ("gzip", "zlib"):
        size = 0 if 1032 * len(content) <= max(limit, UNCOUNTED) else _count(_Inflate, content, limit + SLACK)
    elif compressor == "bz2":
        size = _count(bz2.BZ2Decompressor, content, limit + SLACK)
    elif compressor == "lzma":
        size = _count(lambda: lzma.LZMADecompressor(memlimit=LZMA_MEMORY), content, limit + SLACK)
    else:
        size = _jpeg2000_size(content)
    if size > limit + SLACK:
        raise UserError(f"would become {size} bytes or more, its chunk has {limit} at most")


class _Inflate:
    """zlib's decompressor with the manners of those of bz2 and lzma."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(wbits=47)  # zlib or gzip, by the head

    def decompress(self, content: bytes | memoryview, max_length: int) -> bytes:
        return self._inner.decompress(content, max_length)

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data


def _count(make: Any, content: bytes | memoryview, limit: int) -> int:
    """Bytes that compressed streams, one after the other, become; counting ends beyond `limit`."""
    size = 0
    while content and size <= limit:
        stream = make()
        try:
            size += len(stream.decompress(content, limit + 1 - size))
        except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
            raise UserError(f"is damaged ({error})") from error
        if not stream.eof:
            break
        content = stream.unused_data
    return size


def _zstd_size(content: bytes | memoryview, limit: int) -> int:
    """Bytes of a zstd frame, by its head (RFC 8878, 3.1.1.1); where it does not say, by decoding into `limit`."""
    if len(content) < 6 or content[:4] != b"\x28\xb5\x2f\xfd":
        raise UserError("is no zstd frame")
    flags = content[4]
    single, code = bool(flags & 0x20), flags >> 6
    if code == 0 and not single:
        # Written as a stream: the frame must fill a buffer of just the right size, which bounds what it takes.
        return len(zstd_decompress(content, np.empty(limit, np.uint8)))
    start = 5 + (not single) + (0, 1, 2, 4)[flags & 3]
    width = (1, 2, 4, 8)[code]
    return int.from_bytes(content[start : start + width], "little") + (256 if width == 2 else 0)


def _jpeg2000_size(content: bytes | memoryview) -> int:
    """Bytes of the image that a JPEG 2000 codestream holds, by its SIZ segment (ISO 15444-1, A.5.1)."""
    content = bytes(content)
    head = content.find(b"\xff\x4f\xff\x51")
    if head < 0 or len(content) < head + 42:
        raise UserError("is no JPEG 2000 image")
    x, y, left, top = (int.from_bytes(content[head + i : head + i + 4], "big") for i in (8, 12, 16, 20))
    channels = int.from_bytes(content[head + 40 : head + 42], "big")
    bits = [(depth & 0x7F) + 1 for depth in content[head + 42 : head + 42 + 3 * channels : 3]]
    return max(0, x - left) * max(0, y - top) * channels * -(-max(bits, default=8) // 8)
