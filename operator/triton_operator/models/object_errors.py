"""What object stores say when they refuse, in words for the user who must change something.

A store's answer may hold access keys and signatures: only its error code, and what this module knows, is passed on.
Not for: HTTP sources of other kinds.
"""

import re

from triton_operator.models.failure import PrepareError, Reason
from triton_operator.models.object_access import Bucket
from triton_operator.models.remote import TransientError

_STATUS = re.compile(r"status code: ([1-5]\d\d)")
_CODE = re.compile(r"<Code>\s*([A-Za-z]{1,60})\s*</Code>")
_REGION = re.compile(r"<Region>([a-z0-9-]{1,40})</Region>")
_CERTIFICATE = re.compile(r"invalid peer certificate: (\w+)|InvalidCertificate\(\s*(\w+)")
_CONNECTION = re.compile(r"Connection refused|Connection reset|No route to host|Network is unreachable|timed out")

_BAD_KEYS = {
    "AuthenticationFailed": "the key is wrong, or the token is wrong or has expired",
    "AuthorizationQueryParametersError": "the token is wrong",
    "ExpiredToken": "the session token has expired: create new keys with a new token",
    "InvalidAccessKeyId": "the server knows no such AWS_ACCESS_KEY_ID",
    "InvalidToken": "AWS_SESSION_TOKEN does not belong to the keys: correct it, or leave it out for keys without one",
    "SignatureDoesNotMatch": "AWS_SECRET_ACCESS_KEY is not that of AWS_ACCESS_KEY_ID",
    "TokenRefreshRequired": "the session token has expired: create new keys with a new token",
    "XAdminUserNotFound": "the server knows no such AWS_ACCESS_KEY_ID",
}
_REGIONAL = {"AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "PermanentRedirect"}
_SLOWER = {"RequestTimeout", "ServerBusy", "SlowDown", "ThrottlingException", "OperationTimedOut"}


def failure_of(error: Exception, bucket: Bucket) -> Exception:
    """Say what a failed request means.

    Args:
        error: what obstore raised.
        bucket: where.

    Returns:
        A PrepareError for what another try cannot mend, a TransientError for the rest.
    """
    text = str(error)
    found = _STATUS.search(text)
    status = int(found[1]) if found else 0
    named = _CODE.search(text)
    code = named[1] if named else ""
    if not status:
        return _unreachable(text, bucket)
    if status in (408, 425, 429) or status >= 500 or code in _SLOWER:
        return TransientError(f"{bucket.endpoint} answers {_said(status, code)}.")
    if code in _REGIONAL or status in (301, 307) or "redirect" in text[:400]:
        region = _REGION.search(text)
        value = f"is {region[1]}: set AWS_REGION to it" if region else "is another one: set AWS_REGION to it"
        return PrepareError(Reason.BAD_CREDENTIALS, f"The region of {bucket.root} {value} in the Secret.")
    if code == "RequestTimeTooSkewed":
        return PrepareError(
            Reason.ACCESS_DENIED,
            f"{bucket.endpoint} refuses the request for {bucket.root} because the clocks differ: set the clock of the"
            " node, or of the server.",
        )
    if code in _BAD_KEYS or status == 401:
        problem = _BAD_KEYS.get(code, "the key or token is not accepted")
        return PrepareError(
            Reason.BAD_CREDENTIALS,
            f"{bucket.endpoint} refuses the request for {bucket.root} ({_said(status, code)}), which was made"
            f" {bucket.access}: {problem}.",
        )
    if status == 403 or code == "PublicAccessNotPermitted":
        return PrepareError(
            Reason.ACCESS_DENIED,
            f"{bucket.endpoint} denies access to {bucket.root} ({_said(status, code)}); the request was made"
            f" {bucket.access}. Reading a model needs the right to list the {bucket.kind} and to read its objects.",
        )
    if status == 404:
        return PrepareError(
            Reason.NOT_FOUND,
            f"{bucket.root} does not exist: {bucket.endpoint} has no {bucket.kind} {bucket.name}, or does not show it;"
            f" the request was made {bucket.access}. Correct spec.model.uri, or give credentials.",
        )
    return PrepareError(Reason.UNREADABLE, f"{bucket.endpoint} answers {_said(status, code)} for {bucket.root}.")


def _unreachable(text: str, bucket: Bucket) -> Exception:
    if certificate := _CERTIFICATE.search(text):
        name = certificate[1] or certificate[2]
        if name == "UnknownIssuer":
            return PrepareError(
                Reason.UNREACHABLE,
                f"The certificate of {bucket.endpoint} is not trusted. Put the certificate of its authority into the"
                " key ca.crt of the Secret in spec.model.credentials.",
            )
        return PrepareError(
            Reason.UNREACHABLE, f"The certificate of {bucket.endpoint} is not valid ({name}): renew or correct it."
        )
    if "dns error" in text:
        return TransientError(f"{bucket.host} cannot be found in DNS: see whether the name of the server is right.")
    found = _CONNECTION.search(text)
    problem = found[0].lower() if found else "the connection broke"
    return TransientError(
        f"{bucket.endpoint} cannot be reached ({problem}): see whether the server runs, and whether a network policy or"
        " a proxy is in the way."
    )


def _said(status: int, code: str) -> str:
    return f"{status} {code}".strip()
