"""Transition kernels: how a chain moves, whatever the target.

Nothing here imports families, density or model. A target is a compiled function
`logdensity(rows, data, map, position, gradient) -> value`, handed over as a pointer with three
arguments that only it understands.
"""
