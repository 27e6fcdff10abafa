"""The evidence: what takes minutes to hours, each module run as ``python -m diagnostics.NAME``."""
