"""What translation regains of the success that another look costs."""
