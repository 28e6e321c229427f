"""The command robolearn, which is python -m robolearn too: one verb, and the options of that verb."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from itertools import pairwise, takewhile

from robolearn import __version__
from robolearn.commands.copies import with_copies
from robolearn.errors import UserError, user_errors

VERBS = {
    "collect": ("collect", "record a scripted expert"),
    "generate": ("generate", "make more demonstrations of a few, by carrying them over to other starts"),
    "inspect": ("inspect", "show what is in a store and what looks wrong"),
    "import": ("import_", "turn another project's demonstrations into a store"),
    "export": ("export", "write a store in another project's format"),
    "pretrain": ("pretrain", "train the networks of cameras on images alone, for policies to begin with"),
    "translator": ("translator", "learn to translate images of one look into those of another, without pairs"),
    "translate": ("translate", "write a store with translated images"),
    "train": ("train", "train a policy from demonstrations"),
    "eval": ("eval", "roll a trained policy out and measure it"),
    "heldout": ("heldout", "compare a policy with the demonstrations that were held out"),
    "compare": ("compare", "say which of two policies is better, as soon as that is certain"),
    "calibrate": ("calibrate", "set the threshold above which a policy is not trusted"),
    "deploy": ("deploy", "write a trained policy as a directory that acts without torch"),
    "verify": ("verify", "prove what a network can never do, or find an input with which it does"),
    "plan": ("plan", "learn to act in a handful of trials, by planning in a learned model"),
    "simulator": ("simulator", "learn a simulator from recordings, and rank policies in it"),
    "sweep": ("sweep", "train recipes with several seeds each, and compare what they reach"),
    "bench": ("bench", "compare the families on tasks or on a store of your own"),
}
PATHS = (  # flags of all verbs that take the path of a file or folder
    *(
        "--out",
        "--resume",
        "--dataset.path",
        "--dataset.cache-dir",
        "--cache-dir",
        "--vision.init",
        "--translator",
        "--record-interventions",
        "--record-episodes",
        "--stores",
    ),
    *("--html", "--check", "--data", "--runs", "--kept", "--property"),
)


def main(arguments: Sequence[str] | None = None, prog: str = "robolearn") -> None:
    """Run the verb that the arguments name."""
    arguments = sys.argv[1:] if arguments is None else arguments
    verb, rest = (arguments[0], arguments[1:]) if arguments else ("--help", [])
    if verb in ("-h", "--help", "--version"):
        with user_errors():
            print(f"robolearn {__version__}" if verb == "--version" else usage(prog))
    else:
        run(verb, rest, f"{prog} {verb}")


def run(verb: str, arguments: Sequence[str], prog: str) -> None:
    """Run one command; what the user can mend ends in one line. Only its own modules are imported."""
    with user_errors():
        if verb not in VERBS:
            raise UserError(f"there is no verb {verb!r}; choose from {', '.join(VERBS)}")
        refuse_empty_paths(arguments)
        with with_copies(verb, arguments) as given:
            importlib.import_module(f"robolearn.commands.{VERBS[verb][0]}").main(given, prog)


def refuse_empty_paths(arguments: Sequence[str]) -> None:
    """Refuse a path that is empty, as of a variable that a shell does not know.

    It has to be found before it is parsed: Path("") is the current folder, in which nobody asked to write.

    Raises:
        UserError: One is.
    """
    for position, text in enumerate(takewhile(lambda text: not text.startswith("-"), arguments), start=1):
        if not text.strip():
            raise UserError(f"argument {position} is empty; is it a variable that is not set?")
    for before, text in pairwise(["", *arguments]):
        flag, _, value = text.partition("=") if "=" in text else (before, "", text)
        if not value.strip() and flag.replace("_", "-") in PATHS:
            raise UserError(f"the path after {flag} is empty; name a file or folder, or leave the flag out")


def usage(prog: str) -> str:
    """What there is, a line each."""
    what = "Train a generative policy from demonstrations and know when to trust it."
    verbs = [f"  {verb:<12}{does}" for verb, (_, does) in VERBS.items()]
    return "\n".join([f"usage: {prog} VERB [flags]", "", what, "", *verbs, "", f"{prog} VERB --help shows the flags."])
