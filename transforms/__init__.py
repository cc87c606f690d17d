"""Geometric and photometric changes of a sample; every random draw comes from a generator passed in."""
