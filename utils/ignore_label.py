"""The label of pixels that neither train nor score."""

IGNORE_LABEL = 255
