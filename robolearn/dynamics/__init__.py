"""Learned dynamics with doubt: an ensemble that predicts the next state, particles under plans, planning."""
