"""What some stories need of a cluster and only one that is made here has for certain.

Not for: doing it; see `provider.Cluster`.
"""

from enum import StrEnum


class Ability(StrEnum):
    """Something that not every cluster can do, or has."""

    GPUS = "GPUs on paper"
    NODES = "nodes that may be ended"
    PROCESSES = "processes that may be killed"
    WALLS = "connections that may be refused"
    IMAGES = "images that are brought to the nodes"
    GATEWAY = "a Gateway whose proxies are counted"
