"""Scores and inference: confusion matrix, tables, sliding window, finding pictures and writing results."""
