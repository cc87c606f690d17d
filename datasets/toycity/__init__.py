"""Toycity: procedural street scenes in five looks, written as miniature data sets in their native layouts."""

from datasets.toycity.domains import DOMAINS
from datasets.toycity.generation import generate

__all__ = ["DOMAINS", "generate"]
