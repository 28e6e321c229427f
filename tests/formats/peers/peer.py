"""Runs a script in the environment of another project, which an environment variable names."""

import os
import subprocess

import pytest


def run(variable, script, *arguments, **environment):
    """Run a script by the interpreter that `variable` names; skip the test where there is none."""
    python = os.environ.get(variable)
    if not python or not os.path.exists(python):
        pytest.skip(f"{variable} names no interpreter with that project installed; docs/testing.md says how")
    outer = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    command = [python, "-W", "ignore", "-c", script, *map(str, arguments)]
    done = subprocess.run(command, env={**outer, **environment}, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return done.stdout
