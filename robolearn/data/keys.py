"""Keys of demonstrations are a user's words: which can be kept, and what they are called inside a torch module."""

from __future__ import annotations

from functools import lru_cache

MAX_NAME = 255  # bytes of a file's name that every common file system takes
TAKEN = ("zarr.json", ".zarray", ".zgroup", ".zattrs", ".zmetadata")  # zarr's own files, beside the arrays
ENDS = "episode_ends"  # lies beside the numbers of episodes
KEY = "key_"  # before a foreign name that is zarr's own
DOT = "\x1f"  # torch parts the names of modules by dots; this sign no key has, so that no two keys become one


def key_problem(key: str) -> str | None:
    """Say why nothing can be called this; None if something can."""
    if not key:
        return "a key is empty text; every key needs a name"
    if not key.isprintable():
        return f"key {key!a:.80} holds what cannot be printed, such as control characters; choose a plain name"
    return None


def file_problem(key: str) -> str | None:
    """Say why no array of a store can be called this; None if one can."""
    if problem := key_problem(key):
        return problem
    if "/" in key or "\\" in key:
        return f"key {key!r} holds a slash, which parts folders; choose another sign, such as a dot"
    if key in TAKEN or not key.strip("."):
        return f"key {key!r} is a name that zarr or the file system needs; choose another"
    if len(key.encode()) > MAX_NAME:
        return f"key {key[:20]!r}... has {len(key.encode())} bytes; a file's name has at most {MAX_NAME}"
    return None


@lru_cache(4096)  # an import asks for the same few names in every episode
def store_key(name: str) -> str:
    """What an array of a store is called for a foreign name, which stays as it is wherever a store can have it.

    Groups become dots, and what cannot be printed becomes an underscore. Two names may get the same key.
    """
    key = "".join("." if char in "/\\" else char if char.isprintable() else "_" for char in name)
    key = key.encode()[: MAX_NAME - len(KEY)].decode(errors="ignore") if len(key.encode()) > MAX_NAME else key
    return f"{KEY}{key}" if key.startswith("__") or file_problem(key) else key


def store_attr(name: str) -> str:
    """What a number of each episode is called for a foreign name: as `store_key`, beside the ends of episodes."""
    key = store_key(name)
    return f"{KEY}{key}" if key == ENDS else key


def observed_problem(key: str) -> str | None:
    """Say why a policy cannot observe a key of this name; None if it can."""
    return "action is what a policy gives; it cannot observe it too" if key == "action" else key_problem(key)


def module_name(key: str) -> str:
    """The name of a key inside a torch module: the key itself, but for dots.

    Weights that were saved before there was this rule have keys without dots, and are called the same.
    """
    return key.replace(".", DOT)
