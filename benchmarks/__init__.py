"""Measuring and wearing down the operator, on an API server of its own without any node."""
