"""What calibrate prints of a certificate."""

from typing import Any, cast

from robolearn.guard.calibrate import describe
from robolearn.safety.certificate import Certificate


def test_a_strangers_text_moves_no_terminal():
    fields: Any = dict.fromkeys(Certificate.__dataclass_fields__)
    fields |= {"alpha": 0.1, "spread": (0.0, 0.2), "num_calibration": 9, "claim": "in env\x1b[2J\x07"}
    lines = describe(cast("Certificate", Certificate(**{**fields, "conditions": ("env\r\nid\x9b1A",)})))
    assert "claim: in env\\x1b[2J\\x07" in lines
    assert lines[-1] == "  - env\\r\\nid\\x9b1A"
