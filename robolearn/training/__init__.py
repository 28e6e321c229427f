"""The loop, the run's directory, the moving average, ensembles and loggers."""
