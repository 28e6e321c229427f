"""Backbones, the observation encoder, the cameras' networks and weights in files."""
