"""The ledger of seeds: which numbers are spent on what, so that nothing is judged on what it was made or chosen by.

Seeds of three kinds never meet, and only within a kind must ranges be disjoint: those of episodes fix where an episode
starts and its noise; those of decisions fix what the expert decides in an episode whose start is given; those of
trainings fix a split, a policy's first weights and its batches. Users may give any other seed; `calibrate` refuses
those of `TAKEN`.
"""

DEMONSTRATIONS = range(0, 100_000)
EVALUATION = range(100_000, 250_000)
"""What is reported."""
TRIANGLE = range(250_000, 300_000)
"""What the comparison of families reports; the first of EVALUATION were looked at while it was made."""
SELECTION = range(300_000, 500_000)
"""What a setting, a gate, a score or a shift is chosen by."""
ROLLOUTS = range(500_000, 700_000)
"""While training: the best checkpoint is chosen by them."""
CALIBRATION = range(700_000, 800_000)
"""Of gates and safety sets."""
INTERVENTIONS = range(800_000, 900_000)
"""Episodes in which an expert helps, and which are trained on afterwards."""
DEFAULTS = range(900_000, 1_000_000)
"""What a default of the toolkit is chosen by."""
GENERATION = range(3_000_000, 4_000_000)
"""Where demonstrations that are carried over begin."""
PLANNING = range(4_000_000, 5_000_000)
"""Episodes in which is planned, and which the model that is planned in is fitted to."""
FRAMES_CALIBRATION = range(1_000_000, 2_000_000)
FRAMES_TEST = range(2_000_000, 3_000_000)
"""Episodes whose images the study of perception calibrates and tests on."""

TAKEN = {
    "demonstrations": DEMONSTRATIONS,
    "generated demonstrations": GENERATION,
    "evaluations": EVALUATION,
    "evaluations of the triangle": TRIANGLE,
    "choices of a setting": SELECTION,
    "rollouts while training": ROLLOUTS,
}
EPISODES = TAKEN | {
    "calibration": CALIBRATION,
    "interventions": INTERVENTIONS,
    "choices of a default": DEFAULTS,
    "planning": PLANNING,
    "frames to calibrate on": FRAMES_CALIBRATION,
    "frames to test on": FRAMES_TEST,
}

DECISIONS = range(1_000_000, 2_000_000)
"""What the expert decides when the benchmark asks it for its coverage."""

TRAININGS = range(0, 99)
"""What studies report; the first ones."""
TUNING = range(99, 100)
"""What their sizes were settled on."""

FIXED = 0
"""Of draws that shall be the same every time and that nothing is chosen by: resamples, a choice of windows, timings."""
