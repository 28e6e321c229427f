"""What is done where a policy is not trusted."""

from __future__ import annotations

from typing import Literal

Fallback = Literal["watch", "hold", "replan", "retreat", "expert", "stop"]
StoppingFallback = Literal["hold", "retreat", "expert", "stop"]  # where nothing that the policy plans is admissible
