"""A whole Kubernetes cluster on this machine, for the demo and the tests: `python -m cluster up`.

Not for: production clusters. The operator never imports anything from here.
"""
