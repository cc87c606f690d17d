"""How long the parts of a training take."""
