"""Train a policy from demonstrations: python train.py [FAMILY] [BACKBONE] [flags]; see --help."""

import sys

from robolearn.commands.main import run

if __name__ == "__main__":
    run("train", sys.argv[1:], "python train.py")
