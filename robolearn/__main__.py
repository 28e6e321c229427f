"""`python -m robolearn`: see `cli`."""

from robolearn.cli import main

main()
