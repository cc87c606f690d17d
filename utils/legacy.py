"""The former place of the program that converts checkpoints of other systems."""

import sys

if __name__ == "__main__":
    sys.exit("error: python -m utils.legacy is now python -m network.legacy, with the same arguments")
