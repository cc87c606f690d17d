"""Losses: pure functions of tensors. They know neither networks nor data sets."""
