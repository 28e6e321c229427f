"""What grows with its users, and what it costs."""
