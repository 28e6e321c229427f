import io

import numpy as np
from rich.console import Console

from robolearn.report.terminal import format_spent, format_table
from robolearn.rollout.metrics import summarize
from robolearn.types import Trajectory


def rendered(table, width=80) -> str:
    console = Console(width=width, file=io.StringIO(), color_system=None)
    console.print(table)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def trajectory(episode, success, reason="success", mode=-1):
    scores = np.linspace(0, 0.5 + 0.5 * success, 20)
    actions = np.sin(np.arange(40.0).reshape(20, 2))
    obs = {"state": np.zeros((21, 2))}
    return Trajectory(episode, episode, obs, actions, scores, scores, success, mode, reason)


def test_numbers_stand_beside_their_intervals_within_80_columns():
    runs = [trajectory(i, i < 8, "success" if i < 8 else "failure", i % 4 if i < 8 else -1) for i in range(10)]
    summary = summarize(runs, num_modes=24, control_dt=0.1)
    lines = rendered(format_table(summary, {"p50_ms": 1.5, "cpu_ms": 1.2, "waited": 0.3, "nfe": 10})).splitlines()
    assert max(map(len, lines)) <= 80
    rows = {line.split("  ")[1].strip(): " ".join(line.split()) for line in lines if line.startswith("  ")}
    assert rows["success"] == "success 0.800 0.490 to 0.943"
    assert rows["mode entropy"].endswith("4 of 24 modes")
    assert rows["p50"] == "p50 1.50 ms"
    assert rows["CPU time"] == "CPU time 1.20 ms"
    assert rows["waited"] == "waited 30% for a core"
    assert "ended by: success 8, failure 2" in lines[-1]


def test_a_strangers_text_moves_no_terminal():
    runs = [trajectory(i, False, "broken: step raised \x1b[2J\x07Boom\r\x9b1A") for i in range(2)]
    text = rendered(format_table(summarize(runs, num_modes=None, control_dt=0.1)), width=200)
    assert "broken: step raised \\x1b[2J\\x07Boom\\r\\x9b1A 2" in text
    assert all(char.isprintable() or char == "\n" for char in text)


def test_one_episode_has_no_interval_and_a_reason_is_no_markup():
    summary = summarize([trajectory(0, False, "error: [bold]boom[/nonsense]")], num_modes=None, control_dt=0.1)
    text = rendered(format_table(summary), width=100)
    assert "no interval from one episode" in text
    assert "[bold]boom[/nonsense]" in text
    assert "mode entropy" not in text


def test_the_time_of_a_call_is_a_table():
    lines = rendered(format_spent({"page": 0.0, "physics": 5.0, "policy": 15.04})).splitlines()
    rows = [line.split() for line in lines if line.strip(" ─")]
    assert rows[1:] == [
        ["s", "share"],
        ["policy", "15.0", "75%"],
        ["physics", "5.0", "25%"],
        ["page", "0.0", "0%"],
        ["all", "20.0"],
    ]
