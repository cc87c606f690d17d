"""Normalisation layers, one family per file: those that a site can hold, and SNR."""
