"""Evaluate a trained policy: python eval.py RUN [flags]; see --help."""

import sys

from robolearn.commands.evaluate import main
from robolearn.errors import user_errors

if __name__ == "__main__":
    with user_errors():
        main(sys.argv[1:])
