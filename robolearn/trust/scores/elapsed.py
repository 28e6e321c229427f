"""The clock: failures mostly run until time is up, so that whoever looks at nothing else notices them late.

It is free, and what every other score has to beat.
"""

from __future__ import annotations

from robolearn.trust.scores.score import Score

TIME = Score("time", lambda seen: seen.elapsed)
