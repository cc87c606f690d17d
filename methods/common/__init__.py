"""The contract of a published method, and parts that several methods share."""
