"""The cameras' networks, trained on images alone before a policy begins with them."""
