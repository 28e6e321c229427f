"""Machines and buckets: a machine is a cache folder of its own, a bucket a file system in memory that can fail."""

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem


class Bucket(MemoryFileSystem):
    """In memory; after `left` more writes it raises `error`, with `halves` in the middle of one, as a disk would, and
    not an object store. `before_get` is called with the path of each file that is read.
    """

    protocol = "bucket"
    store = {}  # noqa: RUF012 (as in its base: shared by all instances)
    pseudo_dirs = [""]  # noqa: RUF012
    left, error, halves, before_get = None, ConnectionError("unplugged"), True, None

    @classmethod
    def _strip_protocol(cls, path):
        return super()._strip_protocol(path.removeprefix("bucket://"))

    def put_file(self, lpath, rpath, **kwargs):
        with open(lpath, "rb") as file:
            self.pipe_file(rpath, file.read())

    def pipe_file(self, path, value, **kwargs):
        cls = type(self)
        if cls.left == 0:
            if cls.halves:
                super().pipe_file(path, value[: len(value) // 2])
            raise cls.error
        cls.left = None if cls.left is None else cls.left - 1
        super().pipe_file(path, value)

    def get_file(self, rpath, lpath, **kwargs):
        if type(self).before_get is not None:
            type(self).before_get(rpath)
        super().get_file(rpath, lpath, **kwargs)


@pytest.fixture
def bucket():
    """The class, whose attributes a test sets; empty and in order again after it."""
    fsspec.register_implementation("bucket", Bucket, clobber=True)
    Bucket.left, Bucket.error, Bucket.halves, Bucket.before_get = None, ConnectionError("unplugged"), True, None
    Bucket.pseudo_dirs = [""]
    Bucket.store.clear()
    yield Bucket
    Bucket.store.clear()


@pytest.fixture
def on_machine(tmp_path, monkeypatch):
    """Go to the machine of this name: what is cached there is all that it knows."""

    def go(name):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / name))

    go("here")
    return go
