"""Kept episodes go only with those that the same code gives."""

import importlib
import sys

import gymnasium
import pytest
import torch

from robolearn.rollout.circumstances import circumstances, hash_code
from robolearn.rollout.env_config import EnvConfig

SOURCE = """
import gymnasium
from gymnasium.envs.registration import register, registry

registry.pop("{name}-v0", None)
register("{name}-v0", "{entry}")
"""


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write a module of a user's, import it, and forget both in the end."""
    monkeypatch.syspath_prepend(tmp_path)
    names = []

    def write_module(path, text):
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        names.append(path.removesuffix(".py").removesuffix("/__init__").replace("/", "."))
        importlib.invalidate_caches()
        importlib.import_module(names[-1])

    yield write_module
    for name in names:
        sys.modules.pop(name, None)
        gymnasium.registry.pop(f"{name}-v0", None)


def test_an_edited_module_of_a_users_gives_other_episodes(write):
    entry = "gymnasium.envs.classic_control:PendulumEnv"
    write("mendable.py", SOURCE.format(name="mendable", entry=entry))
    env = EnvConfig("mendable:mendable-v0")
    before = hash_code(env)
    assert hash_code(env) == before
    assert hash_code(EnvConfig("Pendulum-v1")) != before
    write("mendable.py", SOURCE.format(name="mendable", entry=entry) + "# mended")
    assert hash_code(env) != before


def test_all_of_a_package_counts_wherever_its_environment_is_made(write):
    write("mended_pack/__init__.py", "")
    write("mended_pack/physics.py", "GRAVITY = 9.81")
    write("registering.py", SOURCE.format(name="registering", entry="mended_pack.envs:Made"))
    env = EnvConfig("registering:registering-v0")
    before = hash_code(env)
    write("mended_pack/physics.py", "GRAVITY = 1.62")
    assert hash_code(env) != before


def test_code_that_lies_in_no_file_is_never_known_to_be_the_same(write, monkeypatch):
    write("celled.py", SOURCE.format(name="celled", entry="__main__:Made"))
    env = EnvConfig("celled:celled-v0")
    monkeypatch.delattr(sys.modules["__main__"], "__file__", raising=False)
    assert hash_code(env) != hash_code(env)


def test_how_the_machine_computes_counts():
    env, cpu = EnvConfig("Pendulum-v1"), torch.device("cpu")
    assert circumstances(env, cpu) == circumstances(env, cpu)
    assert circumstances(env, cpu) != circumstances(env, torch.device("meta"))
    assert circumstances(env, cpu) != circumstances(EnvConfig("Pendulum-v1", timeout=3.0), cpu)
