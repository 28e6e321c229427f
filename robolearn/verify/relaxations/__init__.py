"""Between which two lines a nonlinearity lies, a class each."""
