"""What warm-up learns: step size, metric, proposal; and the schedule it learns them by.

Nothing here imports families, density or model.
"""
