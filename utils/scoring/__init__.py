"""Scores and inference: confusion matrix, tables, sliding window, pictures in and out."""
