"""`python -m robolearn`: see `commands.main`."""

from robolearn.commands.main import main

main(prog="python -m robolearn")
