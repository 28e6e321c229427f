"""Proofs about networks: bounds that hold for every input of a box, searches, counterexamples and closed loops."""
