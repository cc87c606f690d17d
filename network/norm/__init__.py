"""Normalisation layers that a site can hold, one family per file."""
