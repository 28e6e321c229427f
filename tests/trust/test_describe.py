"""What calibrate prints of a certificate."""

import inspect
from types import SimpleNamespace
from typing import Any

from robolearn.trust import calibrate
from robolearn.trust.certificate import Certificate


def test_a_strangers_text_moves_no_terminal():
    fields: Any = dict.fromkeys(Certificate.__dataclass_fields__)
    fields |= {"spread": (0.0, 0.2), "num_calibration": 9, "claim": "in env\x1b[2J\x07"}
    certificate: Any = SimpleNamespace(**{**fields, "conditions": ("env\r\nid\x9b1A",)})
    lines = inspect.unwrap(calibrate.describe)(certificate)  # types are checked while tests run
    assert "claim: in env\\x1b[2J\\x07" in lines
    assert lines[-1] == "  - env\\r\\nid\\x9b1A"
