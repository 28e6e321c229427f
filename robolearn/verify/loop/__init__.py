"""Closed loops of a network and continuous dynamics: tubes that no trajectory leaves, by validated integration."""
