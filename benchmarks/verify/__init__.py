"""What is proved about networks and policies, and how long that takes."""
