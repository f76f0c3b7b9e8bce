"""How to reach the API server: as a pod does, or as a person with a kubeconfig.

Not for: asking it anything; see `edges.kubernetes`.
"""

import os
from pathlib import Path
from urllib.request import getproxies

from kubernetes.aio import config
from kubernetes.aio.client.configuration import Configuration


async def load_configuration(*, connections: int) -> Configuration:
    """Load address and credentials: the pod's service account or, outside a cluster, the kubeconfig of KUBECONFIG.

    Args:
        connections: connections at a time.

    Returns:
        The client library's configuration.
    """
    configuration = Configuration()
    try:
        config.load_incluster_config(  # type: ignore[no-untyped-call]  # the library's config has no types
            client_configuration=configuration
        )
    except config.ConfigException:
        path = os.environ.get("KUBECONFIG") or str(Path.home() / ".kube" / "config")
        await config.load_kube_config(  # type: ignore[no-untyped-call]  # the library's config has no types
            config_file=path, client_configuration=configuration, persist_config=False
        )
    configuration.retries = None
    # With its default each request asks two threads for a proxy and for a .netrc.
    configuration.client_session_kwargs = {"trust_env": bool(getproxies())}
    configuration.connection_pool_maxsize = connections
    return configuration
