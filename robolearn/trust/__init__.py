"""Knowing when not to trust a policy while it runs: scores at each replanning, a gate, what happens instead."""
