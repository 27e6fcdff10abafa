"""Maximum likelihood, and the start of every sampler.

Nothing here imports samplers, adaptation or chains.
"""
