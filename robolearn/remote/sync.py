"""Keeps a copy here and the remote original the same: run, store or any other file or folder.

Work is done on the copy, whose contracts are those of any local folder. What was written here is sent when its writer
says so, in an order in which a reader never finds half of something: files, what names them, links, and only then is
removed what is not needed any more. There is no lock between machines. Instead nothing is sent over what another
machine has written since both sides were last the same; see `ledger.py`.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock

from robolearn.errors import warn
from robolearn.files import BEGUN, COMPLETE, remove
from robolearn.locks import LOCK_FILE, is_held
from robolearn.paths import StrPath, copies_dir, is_copy, place_of, url_of
from robolearn.remote.differences import LINK, NOTHING, Differences, find_differences, rank
from robolearn.remote.ledger import GONE, SENDING, TAKING, Known, Ledger
from robolearn.remote.storage import RemoteError, Storage, size_of

TRIES = 5  # to find a folder as one and the same before and after it was fetched


class _MovedError(Exception):
    """What was to be fetched has changed meanwhile."""


def fetched(path: StrPath) -> Path:
    """The path that text stands for, a copy of something remote brought up to date; what waits here is sent.

    A copy that another process here writes into is left as it is: it is newer than what is there.

    Raises:
        RemoteError: The file system cannot be reached, or two machines have written.
    """
    root = place_of(path)
    if is_copy(root):
        _keep_same(root)
    return root


def send(root: Path) -> None:
    """Send what who holds the lock of a folder has changed in it; of no effect on one that is no copy.

    Raises:
        RemoteError: As `fetched`; everything stays here.
    """
    if is_copy(root):
        _keep_same(root, holds=True, removes=True)


@contextmanager
def kept_same(root: Path) -> Iterator[None]:
    """Let who holds the lock of a folder find it up to date, and send what was written, also before an error.

    Raises:
        RemoteError: As `fetched`.
    """
    if not is_copy(root):
        yield
        return
    _keep_same(root, holds=True)
    try:
        yield
    except BaseException:
        try:
            send(root)
        except RemoteError as error:
            warn(str(error))
        raise
    send(root)


def _keep_same(root: Path, *, holds: bool = False, removes: bool = False) -> None:
    storage = Storage(url_of(root))
    turns = copies_dir() / ".turns"
    turns.mkdir(parents=True, exist_ok=True)
    with FileLock(turns / hashlib.sha256(str(root).encode()).hexdigest()[:32]):  # one process here at a time
        if not holds and is_held(root):
            return
        for _ in range(TRIES):
            with suppress(_MovedError):
                _Copy(root, storage).keep_same(removes=removes)
                return
    raise RemoteError(f"{storage.url}: it is being written all the time; try again later")


class _Copy:
    """A copy at one moment, and its original."""

    def __init__(self, root: Path, storage: Storage):
        self.root, self.storage, self.ledger = root, storage, Ledger(root)
        self.here, held = _list(root)
        self.there = {name: stamp for name, stamp in storage.list().items() if not _is_left_alone(name, held)}
        noted = {name: known for name, known in self.ledger.read().items() if not _is_left_alone(name, held)}
        self.known = {name: self._settled(name, known) for name, known in noted.items()}
        self.ledger.note({name: known for name, known in self.known.items() if known != noted[name]})

    def _settled(self, name: str, known: Known) -> Known:
        """What is known of a file that makes others count, if a kill came while it was sent.

        It arrives whole or not at all. So it is ours if it is the same as here; otherwise it is as it was, or another
        machine's, which has gone on meanwhile.
        """
        if rank(name)[0] == 0 or not (known.there or "").startswith(SENDING):
            return known
        if name in self.here and name in self.there and self.storage.read(name) == self._content(name):
            return Known(self.here[name], self.there[name])
        return Known(known.here, (known.there or "").removeprefix(SENDING) or None)

    def _content(self, name: str) -> bytes:
        path = _path(self.root, name)
        return os.readlink(path).encode() if _is_link(name) else path.read_bytes()

    def keep_same(self, *, removes: bool) -> None:
        if removes:
            gone = {name: Known(GONE, known.there) for name, known in self.known.items() if name not in self.here}
            self.ledger.note(gone)
            self.known |= gone
        diff = find_differences(self.here, self.there, self.known)
        if diff.clash:
            raise RemoteError(
                f"{self.storage.url}: {diff.clash[0] or 'it'} was written here and by another machine since both were "
                f"the same; nothing was sent. Yours is {self.root}: move it elsewhere to go on with what is there"
            )
        self._take(diff)
        self.ledger.note(dict.fromkeys(diff.forget))
        try:
            self._send(diff)
        except RemoteError as error:
            raise RemoteError(f"{error}; all of it is in {self.root}, and is sent with the next use") from error

    def _take(self, diff: Differences) -> None:
        """Copy all of it beside the copy, see that it belongs together, and put it into its places."""
        if not diff.take and not diff.remove_here:
            return
        needed, free = sum(size_of(self.there[name]) or 0 for name in diff.take), shutil.disk_usage(copies_dir()).free
        if needed >= free:
            raise RemoteError(f"{self.storage.url}: {needed} bytes are to be fetched, {copies_dir()} has {free}")
        with tempfile.TemporaryDirectory(dir=copies_dir(), prefix=".fetching-") as folder:
            files = {name: Path(folder, str(number)) for number, name in enumerate(diff.take)}
            try:
                self.storage.fetch(files)
            except FileNotFoundError:
                raise _MovedError from None
            again = self.storage.list()
            if any(again.get(name) != self.there.get(name) for name in (*diff.take, *diff.remove_here)):
                raise _MovedError
            self.ledger.note({name: Known(TAKING, self.known.get(name, NOTHING).there) for name in diff.take})
            for name in diff.remove_here:
                self._drop(name)
            for name, file in files.items():
                self._put(name, file)
        here, _ = _list(self.root)
        self.ledger.note({name: Known(here[name], self.there[name]) for name in diff.take})
        self.ledger.note(dict.fromkeys(diff.remove_here))

    def _drop(self, name: str) -> None:
        path = _path(self.root, name)
        remove(path)
        for folder in path.parents:
            if folder == self.root or any(folder.iterdir()):
                return
            folder.rmdir()

    def _put(self, name: str, file: Path) -> None:
        path = _path(self.root, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir() or path.is_symlink():
            remove(path)
        if not name.endswith(LINK):
            file.replace(path)
            return
        target = file.read_text("utf-8", errors="replace")
        if target != Path(target).name or target in ("", ".."):
            raise RemoteError(f"{self.storage.url}: {name} leads to {target!r:.80}, which is not beside it")
        path.symlink_to(target)

    def _send(self, diff: Differences) -> None:
        """Send what belongs together before what names it, and remove last."""
        for stage, group in itertools.groupby(diff.send, lambda name: rank(name)[0]):
            names = list(group)
            known = {name: self.known.get(name, NOTHING) for name in names}
            self.ledger.note({name: Known(one.here, _sending(one.there)) for name, one in known.items()})
            if stage == 0:
                self.storage.send({name: _path(self.root, name) for name in names})
                continue
            for name in names:  # few and small, and others go by them
                self.storage.write(name, self._content(name))
        if diff.send:
            self._check_sent(diff.send)
        self.storage.remove(diff.remove_there)
        self.ledger.note(dict.fromkeys(diff.remove_there))

    def _check_sent(self, names: list[str]) -> None:
        there, (here, _) = self.storage.list(), _list(self.root)
        for name in names:
            is_same = here.get(name) == self.here[name]  # what was written to meanwhile is sent again
            sizes = (None, size_of(here[name])) if is_same and not _is_link(name) else ()
            if name not in there or (sizes and size_of(there[name]) not in sizes):
                raise RemoteError(f"{self.storage.url}: {name or 'it'} did not arrive whole")
        self.ledger.note({name: Known(self.here[name], there[name]) for name in names})


def _sending(there: str | None) -> str:
    return there if there is not None and there.startswith(SENDING) else f"{SENDING}{there or ''}"


def _is_link(name: str) -> bool:
    return name.endswith(LINK)


def _path(root: Path, name: str) -> Path:
    return root / name.removesuffix(LINK) if name else root


def _list(root: Path) -> tuple[dict[str, str], tuple[str, ...]]:
    """Files of a copy, name -> what changes with the content; and the folders in it that somebody writes into."""
    if root.is_file():
        return {"": _stamp(root)}, ()
    files: dict[str, str] = {}
    held: list[str] = []
    for folder, folders, names in os.walk(root):
        inside = Path(folder).relative_to(root)
        if folder != str(root) and LOCK_FILE in names and is_held(Path(folder)):
            held.append(f"{inside.as_posix()}/")
            folders.clear()
            continue
        for name in (*folders, *names):
            path, relative = Path(folder, name), (inside / name).as_posix()
            if path.is_symlink():
                target = os.readlink(path)
                if target == Path(target).name and target != "..":  # others mean nothing elsewhere
                    files[relative + LINK] = f"-> {target}"
            elif name in names and not _is_left_alone(relative, ()):
                with suppress(FileNotFoundError):
                    files[relative] = _stamp(path)
    return files, tuple(held)


def _stamp(path: Path) -> str:
    info = path.stat()
    return f"{info.st_size}|{info.st_mtime_ns}"


def _is_left_alone(name: str, held: tuple[str, ...]) -> bool:
    """Whether a file is no part of the finished whole, or in a folder that somebody writes into."""
    *folders, file = name.split("/")
    hidden = any(folder in (BEGUN, COMPLETE) or (folder[:1] == "." and folder.endswith(".part")) for folder in folders)
    return hidden or file == LOCK_FILE or file.endswith((".part", ".partial")) or name.startswith(held)
