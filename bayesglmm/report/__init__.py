"""The report of a posterior: one HTML page that needs nothing else, for who did not run it."""

from .page import save

__all__ = ["save"]
