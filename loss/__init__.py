"""Losses. They know no network and no data set. ``criterion`` has the one that the flags choose."""
