"""What pre-training of the cameras is worth."""
