"""Questions to a Prometheus, within a time limit; what it warns of is kept.

Not for: what to ask; see `edges.envoy`.
"""

import asyncio
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import requests
from prometheus_api_client import PrometheusConnect
from prometheus_api_client.exceptions import PrometheusApiClientException
from urllib3.exceptions import MaxRetryError
from urllib3.util.retry import Retry

from triton_operator.api.settings import Prometheus as Settings

Json = dict[str, Any]

ANSWER_SECONDS = 5.0
"""Time limit of one question: it is asked again at the next look."""
AT_A_TIME = 4
_MESSAGE = 512


class Unmeasured(Exception):
    """Prometheus gave no answer that can be relied on; the message says why.

    Attributes:
        invalid: whether that is for the query itself, so that asking again does not help.
    """

    def __init__(self, message: str, *, invalid: bool = False) -> None:
        super().__init__(message[:_MESSAGE])
        self.invalid = invalid


class Prometheus:
    """One Prometheus, or what speaks its API."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._threads = ThreadPoolExecutor(AT_A_TIME, thread_name_prefix="prometheus")

    async def series(self, query: str) -> list[Json]:
        """Ask for the present value of an expression.

        Args:
            query: PromQL.

        Returns:
            The series, each with `metric` and `value` or `values`.

        Raises:
            Unmeasured: no answer came within the time limit, or an error, or a partial answer.
        """
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(ANSWER_SECONDS + 1):
                return await loop.run_in_executor(self._threads, partial(self._asked, query))
        except TimeoutError as error:
            raise Unmeasured(f"{self._settings.url} did not answer within {ANSWER_SECONDS:g} s") from error

    async def number(self, query: str) -> float | None:
        """Ask for the present value of an expression that comes to one number.

        Args:
            query: PromQL.

        Returns:
            The number, perhaps infinite; None where there is none, or NaN.

        Raises:
            Unmeasured: as `series`; or the expression comes to something else than one number.
        """
        return number_of(await self.series(query))

    def close(self) -> None:
        """Ask nothing any more."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _asked(self, query: str) -> list[Json]:
        warnings: list[str] = []
        errors: list[tuple[str, str]] = []
        url = self._settings.url.rstrip("/")
        try:
            with requests.Session() as session:  # its own for each question: files are read anew, threads share nothing
                session.verify = self._settings.caFile or True
                session.trust_env = True
                session.hooks["response"].append(_keeping(warnings, errors))
                headers = dict(self._settings.headers)
                if self._settings.tokenFile:
                    token = Path(self._settings.tokenFile).read_text(encoding="utf-8").strip()
                    headers["Authorization"] = f"Bearer {token}"
                client = PrometheusConnect(
                    url, headers=headers, session=session, retry=Retry(total=0), timeout=ANSWER_SECONDS, method="POST"
                )
                found: list[Json] = client.custom_query(query, timeout=ANSWER_SECONDS)
        except PrometheusApiClientException as error:
            for kind, words in errors:
                raise Unmeasured(f"Prometheus says: {words}", invalid=kind == "bad_data") from error
            raise Unmeasured(f"{url} refused the question: {error}") from error
        except requests.Timeout as error:
            raise Unmeasured(f"{url} did not answer within {ANSWER_SECONDS:g} s") from error
        except (requests.JSONDecodeError, KeyError, TypeError) as error:
            raise Unmeasured(f"what {url} answered is not that of a Prometheus: {error!r}") from error
        except (requests.RequestException, OSError, ValueError) as error:
            raise Unmeasured(f"{url} cannot be asked: {_cause(error)}") from error
        if warnings:
            raise Unmeasured(f"{url} answered in part: {'; '.join(warnings)}")
        return found


def _cause(error: Exception) -> object:
    """Say why a request failed, without the long address of the question."""
    inner = error.args[0] if error.args else None
    return inner.reason if isinstance(inner, MaxRetryError) and inner.reason else error


def number_of(result: Any) -> float | None:
    """Read the result of an instant query that is to be one number.

    Args:
        result: a scalar, or series.

    Returns:
        The number, perhaps infinite; None where there is no series, or NaN.

    Raises:
        Unmeasured: it is something else.
    """
    scalar = isinstance(result, list) and len(result) == 2 and not isinstance(result[0], dict)
    if not scalar and len(result) > 1:
        words = f"it comes to {len(result)} series, not to one number: put sum(…) or max(…) around it"
        raise Unmeasured(words, invalid=True)
    if not result:
        return None
    value = result if scalar else result[0].get("value")
    try:
        number = float(value[1])
    except (TypeError, ValueError) as error:
        raise Unmeasured("it comes to something else than a number", invalid=True) from error
    return None if math.isnan(number) else number


def _keeping(warnings: list[str], errors: list[tuple[str, str]]) -> Callable[..., None]:
    """Make a hook that keeps what the client library drops: warnings, and errors by their kind."""

    def keep(response: requests.Response, **_: Any) -> None:
        try:
            body = response.json()
        except ValueError:
            return
        if isinstance(body, dict):
            warnings.extend(str(warning) for warning in body.get("warnings") or ())
            if body.get("errorType"):
                errors.append((str(body["errorType"]), " ".join(str(body.get("error")).split())))

    return keep
