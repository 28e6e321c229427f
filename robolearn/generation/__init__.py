"""Few demonstrations become many: carried over to other initial states, executed, and kept where they succeed."""
