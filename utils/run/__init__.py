"""A run and its files: checkpoints, the run's folder, its log, how it ends and goes on."""
