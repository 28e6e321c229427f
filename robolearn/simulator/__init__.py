"""A simulator that is learned: what comes of a policy's actions, drawn by a family, without the environment."""
