"""Files of data sets: finding, pairing and reading them."""
