"""One file per family, and the one policy that they all make."""
