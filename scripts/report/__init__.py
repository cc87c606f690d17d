"""Finished runs as tables, files for programs, and one page to look at."""
