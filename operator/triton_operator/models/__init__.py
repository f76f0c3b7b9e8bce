"""Preparing a model for Triton: the init container's program, which stands alone."""
