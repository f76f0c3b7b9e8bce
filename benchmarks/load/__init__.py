"""A load generator: it asks a model at a constant rate, whatever becomes of the answers, and says what became of each.

It runs in a pod of the cluster, as `python -m load` with this folder mounted (`e2e/stories.py`), on nothing but the
packages of the operator's image.
"""
