"""What stands between us and a web server, in words for a user: names, connections, TLS, proxies.

Not for: what the server itself answers; that is `models.web`.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import aiohttp
from yarl import URL

from triton_operator.models.failure import PrepareError, Reason, escaped
from triton_operator.models.remote import TransientError


@contextmanager
def web_failures(url: URL) -> Iterator[None]:
    """Turn what the client library says into words for a user.

    Args:
        url: what was asked for.

    Raises:
        TransientError: another try may help.
        PrepareError: Unreachable, BadCredentials: it will not.
    """
    where = shown(url)
    server = escaped(url.host or "")
    try:
        yield
    except aiohttp.ClientHttpProxyError as error:
        if error.status == 407:
            raise proxy_refusal(where) from error
        raise TransientError(f"The proxy in HTTPS_PROXY answers {error.status} for {where}.") from error
    except aiohttp.ClientConnectorCertificateError as error:
        raise _distrust(where, server, error.certificate_error) from error
    except aiohttp.ClientSSLError as error:
        raise TransientError(
            f"{where} cannot be reached: {server} does not speak TLS as expected. Correct the uri's scheme or port."
        ) from error
    except aiohttp.ClientConnectorDNSError as error:
        raise TransientError(
            f"{where} cannot be reached: {server} is not known to DNS. Correct spec.model.uri, or the cluster's DNS."
        ) from error
    except aiohttp.ClientProxyConnectionError as error:
        raise TransientError(
            f"{where} cannot be reached: the proxy {escaped(error.host)}:{error.port} does not answer. Correct"
            " HTTPS_PROXY, HTTP_PROXY or NO_PROXY."
        ) from error
    except aiohttp.ClientConnectorError as error:
        why = escaped(error.strerror or type(error.os_error).__name__)
        raise TransientError(
            f"{where} cannot be reached: {escaped(error.host)}:{error.port}: {why}. See whether the server runs and"
            " whether a NetworkPolicy stands between."
        ) from error
    except aiohttp.InvalidURL as error:
        raise PrepareError(
            Reason.UNREACHABLE, f"{where} is, or leads to, no valid address: correct spec.model.uri."
        ) from error
    except (aiohttp.ClientError, TimeoutError, ConnectionError) as error:
        raise TransientError(
            f"{where}: the connection broke ({type(error).__name__}): see whether {server} is well."
        ) from error


def _distrust(where: str, server: str, error: Exception) -> PrepareError:
    why = getattr(error, "verify_message", None) or type(error).__name__
    return PrepareError(
        Reason.UNREACHABLE,
        f"{where} is not trusted: {escaped(why)}. Put the certificate of the authority that signed {server}'s as the"
        " key ca.crt into the Secret of spec.model.credentials.",
    )


def proxy_refusal(where: str) -> PrepareError:
    """Say that a proxy wants credentials (407)."""
    return PrepareError(
        Reason.BAD_CREDENTIALS,
        f"The proxy in front of {where} wants a user and a password: write them into HTTPS_PROXY or HTTP_PROXY of the"
        " Secret, http://USER:PASSWORD@PROXY:PORT.",
    )


def shown(url: URL) -> str:
    """An address without what may be secret: user, password, query and fragment."""
    return escaped(str(url.with_user(None).with_query(None).with_fragment(None)))
