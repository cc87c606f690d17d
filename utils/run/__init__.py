"""A run and its files: checkpoints, the run's folder and log, ending a run early and resuming it."""
