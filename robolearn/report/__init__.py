"""The HTML page of an evaluation, its plots and the terminal table."""
