"""What each operation of torch becomes: layout, linear, a function of each number, or a composition of these."""
