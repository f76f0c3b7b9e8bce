"""The outside world: one port for each thing the operator talks to, with time limits and errors.

Not for: deciding anything.
"""
