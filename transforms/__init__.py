"""Geometric and photometric changes of a sample. All random numbers come from a generator passed in."""
