"""The doctor: what is in a recording, what looks wrong with it, and which option mends that."""
