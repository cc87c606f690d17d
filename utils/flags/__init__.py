"""The command line: flags, their ranges, and what the RobustNet family's own flags do here."""
