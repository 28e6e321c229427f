"""How commands end: one line and an exit status."""

import errno
import os
import signal
import threading

import pytest

from robolearn.errors import user_errors


def ends(action):
    with pytest.raises(SystemExit) as caught, user_errors():
        action()
    return caught.value.code


def fail(error):
    raise error


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("wrong"), "error: wrong"),
        (ValueError("two\n  lines"), "error: two lines"),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "x.json"), "error: x.json: No space left on device"),
        (OSError(errno.EPIPE, os.strerror(errno.EPIPE)), "error: Broken pipe"),
        (ValueError(), "error: ValueError"),
    ],
)
def test_a_mistake_is_one_line(capsys, error, line):
    assert ends(lambda: fail(error)) == 2
    assert capsys.readouterr().err == f"{line}\n"


def test_a_defect_keeps_its_traceback():
    with pytest.raises(KeyError), user_errors():
        fail(KeyError("x"))


@pytest.fixture
def as_in_a_terminal():
    """A shell starts what runs in the background with SIGINT ignored, and Python leaves that as it is."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(("kind", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_is_one_line(capsys, kind, status, as_in_a_terminal):
    before = signal.getsignal(signal.SIGTERM)
    assert ends(lambda: signal.raise_signal(kind)) == status
    assert capsys.readouterr().err == "stopped\n"
    assert signal.getsignal(signal.SIGTERM) == before


def test_it_works_in_any_thread(capsys):
    statuses = []
    thread = threading.Thread(target=lambda: statuses.append(ends(lambda: fail(ValueError("x")))))
    thread.start()
    thread.join()
    assert statuses == [2]
