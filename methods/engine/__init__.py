"""The code that trains a method: building it, its steps, leaving out bad steps, and scoring it."""
