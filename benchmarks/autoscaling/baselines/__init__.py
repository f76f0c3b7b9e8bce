"""What others do, as pure functions after their published sources.

Not for: how they get at their numbers; see `benchmarks.autoscaling.policies`.
"""
