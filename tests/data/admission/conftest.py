"""Stores from strangers, and a codec that tells when it is made."""

import numcodecs
import pytest
from numcodecs.abc import Codec
from numcodecs.registry import codec_registry

from tests.data.admission.stores import ARRAYS
from tests.data.test_store import write_diffusion_policy


@pytest.fixture(params=[2, 3])
def path(tmp_path, request):
    return write_diffusion_policy(tmp_path / "dp.zarr", request.param, **ARRAYS)


@pytest.fixture
def v2(tmp_path):
    return write_diffusion_policy(tmp_path / "v2.zarr", 2, **ARRAYS)


@pytest.fixture
def v3(tmp_path):
    return write_diffusion_policy(tmp_path / "v3.zarr", 3, **ARRAYS)


@pytest.fixture
def marker(tmp_path):
    """A codec that leaves a file when it is made and when it decodes."""
    left = tmp_path / "marker"

    class Marker(Codec):
        codec_id = "marker"

        def __init__(self):
            left.write_text("made")

        def encode(self, buf):
            return buf

        def decode(self, buf, out=None):
            left.write_text("decoded")
            return buf

    numcodecs.register_codec(Marker)
    yield left
    del codec_registry["marker"]
