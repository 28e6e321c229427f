"""One writer per directory; a killed one locks nobody out."""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from robolearn.locks import LOCK_FILE, DirectoryLock, HeldError, hold

ROOT = Path(__file__).parents[1]
HOLDER = """
import sys, time
from pathlib import Path
from robolearn.locks import hold
with hold(Path(sys.argv[1])):
    print(flush=True)
    time.sleep(60)
"""

COUNTER = """
import sys
from pathlib import Path
from robolearn.locks import turn
number = Path(sys.argv[1])
for _ in range(30):
    with turn(number):
        number.write_text(str(int(number.read_text()) + 1))
"""


def test_a_name_that_the_locale_cannot_write_hinders_nobody(tmp_path):
    plain = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONPATH": str(ROOT)}
    code = HOLDER.replace(
        "print(flush=True)\n    time.sleep(60)", f"print(ascii(open(sys.argv[1] + '/{LOCK_FILE}', 'rb').read()))"
    )
    command = [sys.executable, "-c", code, tmp_path / "store", "überall"]
    said = subprocess.run(command, env=plain, capture_output=True, text=True, timeout=120)
    assert r"\xc3\xbcberall" in said.stdout, said.stderr


def test_a_second_writer_is_told_who_the_first_is(tmp_path):
    with hold(tmp_path / "store"):
        with pytest.raises(HeldError, match=rf"store is being written by process {os.getpid()} on .*; wait") as caught:
            DirectoryLock(tmp_path / "store")
        assert "\n" not in str(caught.value)
    with hold(tmp_path / "store"):
        pass


def test_a_killed_holder_holds_nothing(tmp_path):
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as holder:
        holder.stdout.readline()
        with pytest.raises(HeldError, match=f"process {holder.pid} "):
            DirectoryLock(tmp_path)
        holder.send_signal(signal.SIGKILL)
    assert (tmp_path / LOCK_FILE).exists()
    with hold(tmp_path):
        pass


def test_no_trace_is_left(tmp_path):
    with hold(tmp_path / "a" / "new"):
        pass
    assert not (tmp_path / "a" / "new").exists()
    (tmp_path / "there").mkdir()
    with hold(tmp_path / "there"):
        pass
    assert list((tmp_path / "there").iterdir()) == []
    with hold(tmp_path / "filled"):
        (tmp_path / "filled" / "x").touch()
    assert [p.name for p in (tmp_path / "filled").iterdir()] == ["x"]


def test_two_names_of_a_directory_are_one_lock(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with hold(tmp_path / "real"), pytest.raises(HeldError):
        DirectoryLock(tmp_path / "link")


def test_the_lock_outlives_a_full_disk(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", full)
        lock = DirectoryLock(tmp_path)
    with pytest.raises(HeldError, match="written by another process"):
        DirectoryLock(tmp_path)
    lock.release()
    lock.release()


def test_turns_are_taken_one_after_the_other(tmp_path):
    """Two processes add one to a number, thirty times each; none is lost, and no lock stays."""
    number = tmp_path / "number"
    number.write_text("0")
    commands = [[sys.executable, "-c", COUNTER, str(number)]] * 2
    with contextlib.ExitStack() as stack:
        for process in [stack.enter_context(subprocess.Popen(command, cwd=ROOT)) for command in commands]:
            assert process.wait() == 0
    assert number.read_text() == "60"
    assert list(tmp_path.iterdir()) == [number]
