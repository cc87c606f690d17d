"""Many runs from one file: which they are (``matrix``), how they are started and watched (``runner``)."""
