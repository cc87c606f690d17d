"""Which samples an epoch draws, from which domains, and the loaders that make the samples."""
