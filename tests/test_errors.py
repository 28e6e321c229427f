"""How commands end: one line and an exit status."""

import ast
import errno
import os
import signal
import subprocess
import sys
import threading
import traceback
from pathlib import Path

import pytest

import robolearn
from robolearn.errors import FIELD, UserError, remark, user_errors, warn
from robolearn.modules import reason_of


def ends(action):
    with pytest.raises(SystemExit) as caught, user_errors():
        action()
    return caught.value.code


def fail(error):
    raise error


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (UserError("wrong"), "error: wrong"),
        (UserError("two\n  lines"), "error: two lines"),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "x.json"), "error: x.json: No space left on device"),
        (OSError(errno.EPIPE, os.strerror(errno.EPIPE)), "error: Broken pipe"),
        (UserError(), "error: UserError"),
        (UserError("`env.max_episode_steps` 0, `lr` 1"), "error: --env.max-episode-steps 0, --lr 1"),
    ],
)
def test_a_mistake_is_one_line(capsys, error, line):
    assert ends(lambda: fail(error)) == 2
    assert capsys.readouterr().err == f"{line}\n"


def test_warnings_of_a_command_name_flags_as_its_errors_do(capsys):
    for say, kind in ((warn, "warning"), (remark, "note")):
        with user_errors():
            say("`env.no_clip` for one, `videos` 0 for none")
        say("of a program: `env.no_clip`")
        assert capsys.readouterr().err == (
            f"{kind}: --env.no-clip for one, --videos 0 for none\n{kind}: of a program: `env.no_clip`\n"
        )
    assert ends(lambda: fail(UserError("x"))) == 2
    warn("after an error: `lr`")
    assert capsys.readouterr().err.endswith("after an error: `lr`\n")


@pytest.mark.parametrize("error", [KeyError("x"), ValueError("x"), AssertionError("x")])
def test_a_defect_keeps_its_traceback_and_says_where_to_report_it(error):
    with pytest.raises(type(error)) as caught, user_errors():
        fail(error)
    assert "".join(traceback.format_exception(caught.value)).count("Please report it") == 1


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
    thread = threading.Thread(target=lambda: statuses.append(ends(lambda: fail(UserError("x")))))
    thread.start()
    thread.join()
    assert statuses == [2]


def test_what_a_message_names_in_backticks_is_an_option():
    """A command shows it as a flag: a family in backticks would become one that there is not."""
    fields, named = set(), {}
    for path in Path(robolearn.__file__).parent.rglob("*.py"):
        nodes = list(ast.walk(ast.parse(path.read_text())))
        docs = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
        fields |= {
            node.target.id for node in nodes if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
        }
        for node in nodes:
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
                named |= dict.fromkeys(FIELD.findall(node.value), path.name)
    last = {name: name.rpartition(".")[2].removeprefix("no_") for name in named}
    assert {name: named[name] for name, field in last.items() if field not in fields} == {}


def test_what_a_stranger_puts_in_backticks_is_no_flag(capsys):
    """Gymnasium says so of an environment that it does not know."""
    with pytest.raises(SystemExit), user_errors():
        raise UserError(f"`env.id` nope-v0: {reason_of(ValueError('Environment `nope` does not exist'))}")
    assert capsys.readouterr().err == "error: --env.id nope-v0: ValueError: Environment 'nope' does not exist\n"


def test_output_that_nobody_reads_is_no_verdict():
    """Rich ends with 1 where a pipe is closed, as of `| head -1`; of `compare` that says which policy is better."""
    script = "from rich.console import Console; from robolearn.errors import user_errors\n"
    script += "with user_errors(): Console().print('A is better')"
    assert unread("-c", script) == (2, "error: Broken pipe\n")


@pytest.mark.parametrize("buffered", [True, False])
@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["train", "--help"]])
def test_help_that_nobody_reads_is_one_line(arguments, buffered):
    """What is buffered is refused when all is done."""
    status = unread(*([] if buffered else ["-u"]), "-m", "robolearn", *arguments)
    assert status == (2, "error: Broken pipe\n")


def unread(*arguments):
    """Exit status and errors of Python where its output is a pipe that nobody reads."""
    reader, writer = os.pipe()
    os.close(reader)
    command, env = [sys.executable, *arguments], {k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"}
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, check=False, env=env)
    os.close(writer)
    return done.returncode, done.stderr
