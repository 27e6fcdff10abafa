"""The pieces of the posterior that Gibbs sampling moves.

Nothing here imports samplers, adaptation or chains.
"""
