"""Evaluate a trained policy: python eval.py RUN [flags]; see --help."""

import sys

from robolearn.commands.main import run

if __name__ == "__main__":
    run("eval", sys.argv[1:], "python eval.py")
