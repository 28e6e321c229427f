"""Policies that leave: a trained policy as a directory that acts without torch, and the proof that it acts alike."""
