"""How well replicas follow the load: the operator's policy beside others', on simulated servers.

Every request is simulated, and the policy is the very object that the operator runs.
Not for: a real Triton under load; that is `benchmarks.load`.
"""
