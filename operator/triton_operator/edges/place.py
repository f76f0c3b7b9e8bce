"""Where a person works: which cluster, and which namespace of it.

Not for: going there; that is `edges.person`, which takes longer to import than a help text may take.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Place:
    """What a command line says about it.

    Attributes:
        kubeconfig: path of the kubeconfig; None: by KUBECONFIG, or the one at home.
        context: a context of it; None: its current one.
        namespace: a namespace; None: that of the context.
    """

    kubeconfig: str | None = None
    context: str | None = None
    namespace: str | None = None
