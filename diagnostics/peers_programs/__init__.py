"""Programs of the benchmark, each a script of its own process: read a folder, sample, write draws.

They run in the peers' environment, which does not have this package, and import each other as
scripts do.
"""
