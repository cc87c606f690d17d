"""What trains a method: it is built, stepped, guarded and looked at here."""
