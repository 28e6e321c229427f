"""Images of one look as those of another, learned without pairs: simulated ones as real ones, and back."""
