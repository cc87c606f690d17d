"""Losses. They know no network and no data set; ``criterion`` chooses one from the flags."""
