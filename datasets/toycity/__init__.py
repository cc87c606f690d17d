"""The toy city: procedural street scenes in five looks, written as miniature data sets in native layouts.

On demand it also makes the four cities of cross-city adaptation, and two data sets of adverse weather and
night.
"""

from datasets.toycity.domains import ALL_DOMAINS, DOMAINS
from datasets.toycity.generation import absent, generate

__all__ = ["ALL_DOMAINS", "DOMAINS", "absent", "generate"]
