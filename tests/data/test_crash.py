"""Appending survives a kill at any moment, and a disk that refuses."""

import errno
import os
import random
import re
import resource
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from robolearn.data import writer as writer_module
from robolearn.data.attrs import StoreAttrs
from robolearn.data.store import DemoStore
from robolearn.data.writer import DemoWriter
from tests.data.episodes import assert_same, make_episode
from tests.data.kills import copy_as_killed

ROOT = Path(__file__).parents[2]
WRITER = """
import sys
from robolearn.data import writer as module
from tests.data.episodes import make_episode
module.LOW_DIM_CHUNK, module.IMAGE_CHUNK = 8, 3
store = module.DemoWriter.append_to(sys.argv[1])
print(flush=True)
while True:
    store.append(make_episode(store.num_episodes))
    print(store.num_episodes, flush=True)
"""


@pytest.fixture
def small_chunks(monkeypatch):
    """Episodes cross the edges of chunks."""
    monkeypatch.setattr(writer_module, "LOW_DIM_CHUNK", 4)
    monkeypatch.setattr(writer_module, "IMAGE_CHUNK", 3)


def intact(path):
    """How many episodes there are, all of them as written."""
    store = DemoStore.open_unchecked(path)
    if store.num_episodes:
        assert list(store.problems()) == []
    for i in range(store.num_episodes):
        assert_same(store.episode(i), make_episode(i))
    return store.num_episodes


@pytest.mark.long
def test_kill_between_any_two_file_operations(tmp_path, monkeypatch, small_chunks):
    """A copy of the directory before and after each replacement of a file: what a kill there would leave."""
    path, copies = tmp_path / "x.zarr", []
    store = DemoWriter.create(path, attrs=StoreAttrs())
    replace = Path.replace

    one_at_a_time = threading.Lock()  # chunks are written by several threads

    def watched(source, target):
        for act in (lambda: None, lambda: replace(source, target)):
            with one_at_a_time:
                act()
                copies.append((tmp_path / str(len(copies)), store.num_episodes))
                copy_as_killed(path, copies[-1][0])

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", watched)
        for i in range(3):
            store.append(make_episode(i))
    assert len(copies) > 3 * 2 * 8
    for i, (copy, finished) in enumerate(copies):
        num_episodes = intact(copy)
        assert num_episodes in (finished, finished + 1)
        if i % 3:
            continue
        again = DemoWriter.append_to(copy)
        again.extend([make_episode(num_episodes), make_episode(num_episodes + 1)])
        assert intact(copy) == num_episodes + 2
        assert not list(copy.rglob("*.partial"))


@pytest.mark.long
def test_kill_at_random_times(tmp_path):
    path = tmp_path / "x.zarr"
    DemoWriter.create(path, attrs=StoreAttrs())
    rng, last = random.Random(0), 0
    for _ in range(2):
        command = [sys.executable, "-c", WRITER, str(path)]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as writer:
            writer.stdout.readline()
            for _ in range(rng.randrange(1, 4)):
                announced = int(writer.stdout.readline())
            try:
                writer.wait(rng.random() * 0.05)
            except subprocess.TimeoutExpired:
                writer.send_signal(signal.SIGKILL)
        num_episodes = intact(path)
        assert num_episodes >= announced > last
        last = num_episodes


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_disk_refuses(tmp_path, monkeypatch, small_chunks, code):
    """At whichever operation the disk refuses, the error says what is safe and it is."""
    path = tmp_path / "x.zarr"
    store = DemoWriter.create(path, attrs=StoreAttrs())
    store.extend([make_episode(0), make_episode(1)])
    replace = Path.replace

    def failing(source, target):
        nonlocal left
        left -= 1
        if left < 0:
            raise OSError(code, os.strerror(code))
        return replace(source, target)

    message = re.escape(f"cannot be written ({os.strerror(code)}); the 2 episodes stored before are safe")
    for allowed in (0, 1, 5, 10, 15):
        left = allowed
        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", failing)
            with pytest.raises(ValueError, match=message):
                store.append(make_episode(2))
        assert intact(path) == 2
    store.append(make_episode(2))
    assert intact(path) == 3


def test_file_size_limit(tmp_path):
    """A refusal by the operating system itself."""
    path = tmp_path / "x.zarr"
    store = DemoWriter.create(path, attrs=StoreAttrs())
    store.append(make_episode(0))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        with pytest.raises(ValueError, match="the 1 episodes stored before are safe"):
            store.append(make_episode(1, length=5000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert intact(path) == 1
    store.append(make_episode(1))
    assert intact(path) == 2
