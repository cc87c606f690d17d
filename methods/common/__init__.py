"""What the published methods are made of: the contract they keep, and parts that several share."""
