"""Train a policy from demonstrations: python train.py [FAMILY] [BACKBONE] [flags]; see --help."""

import sys

from robolearn.commands.train import main
from robolearn.errors import user_errors

if __name__ == "__main__":
    with user_errors():
        main(sys.argv[1:])
