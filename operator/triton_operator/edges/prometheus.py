"""Questions to a Prometheus, within a time limit; what it warns of is kept.

Not for: what to ask; see `edges.envoy`.
"""

import asyncio
import math
import time
from collections.abc import Callable, Iterator
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
MOST_BYTES = 16 << 20
"""Size limit of an answer: the counters of a service at one proxy are some 50 kB."""
MOST_BYTES_OF_A_NUMBER = 1 << 20
"""Size limit of an answer that is to be one number; a longer one tells that it is none."""
_MESSAGE = 512
_REMEDY = "put sum(…) or max(…) around it"


class Unmeasured(Exception):
    """Prometheus gave no answer that can be relied on; the message says why.

    Attributes:
        invalid: whether that is for the query itself, so that asking again does not help.
    """

    def __init__(self, message: str, *, invalid: bool = False) -> None:
        super().__init__(message[:_MESSAGE])
        self.invalid = invalid


class TooLarge(Unmeasured):
    """An answer is longer than it may be."""


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
            TooLarge: the answer is too large.
            Unmeasured: no answer came within the time limit, or an error, or a partial answer.
        """
        return self._whole(*await self._ask(query, MOST_BYTES))

    async def part(self, query: str) -> tuple[list[Json], str]:
        """Ask for the present value of an expression of which a part is of use, too.

        Args:
            query: PromQL.

        Returns:
            As `series`, and what Prometheus warns of; "" where it has answered in full.

        Raises:
            TooLarge: the answer is too large.
            Unmeasured: no answer came within the time limit, or an error.
        """
        return await self._ask(query, MOST_BYTES)

    async def number(self, query: str) -> float | None:
        """Ask for the present value of an expression that comes to one number.

        Args:
            query: PromQL.

        Returns:
            The number, perhaps infinite; None where there is none, or NaN.

        Raises:
            Unmeasured: as `series`; or the expression comes to something else than one number.
        """
        try:
            answer = await self._ask(query, MOST_BYTES_OF_A_NUMBER)
        except TooLarge as error:
            words = f"it comes to more than {MOST_BYTES_OF_A_NUMBER >> 20} MiB, not to one number: {_REMEDY}"
            raise Unmeasured(words, invalid=True) from error
        return number_of(self._whole(*answer))

    def close(self) -> None:
        """Ask nothing any more."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _whole(self, found: list[Json], missing: str) -> list[Json]:
        if missing:
            raise Unmeasured(f"{self._settings.url} answered in part: {missing}")
        return found

    async def _ask(self, query: str, most_bytes: int) -> tuple[list[Json], str]:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(ANSWER_SECONDS + 1):
                return await loop.run_in_executor(self._threads, partial(self._asked, query, most_bytes))
        except TimeoutError as error:
            raise Unmeasured(f"{self._settings.url} did not answer within {ANSWER_SECONDS:g} s") from error

    def _asked(self, query: str, most_bytes: int) -> tuple[list[Json], str]:
        warnings: list[str] = []
        errors: list[tuple[str, str]] = []
        url = self._settings.url.rstrip("/")
        try:
            with requests.Session() as session:  # its own for each question: files are read anew, threads share nothing
                session.verify = self._settings.caFile or True
                session.trust_env = True
                session.hooks["response"].append(_keeping(warnings, errors, most_bytes))
                headers = dict(self._settings.headers)
                if self._settings.tokenFile:
                    token = Path(self._settings.tokenFile).read_text(encoding="utf-8").strip()
                    headers["Authorization"] = f"Bearer {token}"
                client = PrometheusConnect(
                    url, headers=headers, session=session, retry=Retry(total=0), timeout=ANSWER_SECONDS, method="POST"
                )
                found: list[Json] = client.custom_query(query, timeout=ANSWER_SECONDS)
        except TooLarge as error:
            raise TooLarge(f"{url} answered with more than {most_bytes >> 20} MiB") from error
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
        return found, "; ".join(warnings)


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
        words = f"it comes to {len(result)} series, not to one number: {_REMEDY}"
        raise Unmeasured(words, invalid=True)
    if not result:
        return None
    value = result if scalar else result[0].get("value")
    try:
        number = float(value[1])
    except (TypeError, ValueError) as error:
        raise Unmeasured("it comes to something else than a number", invalid=True) from error
    return None if math.isnan(number) else number


class _Bounded:
    """The body of an answer, as urllib3 streams it, of which no more is read than it may have, and not for longer."""

    def __init__(self, raw: Any, most_bytes: int, until: float) -> None:
        self._raw, self._most_bytes, self._until = raw, most_bytes, until

    def __getattr__(self, name: str) -> Any:
        return getattr(self._raw, name)

    def stream(self, *args: Any, **options: Any) -> Iterator[bytes]:
        read = 0
        for chunk in self._raw.stream(*args, **options):
            read += len(chunk)
            if read > self._most_bytes:
                raise TooLarge("an answer is too large")
            if time.monotonic() > self._until:  # it drips, which no time limit between two bytes ends
                raise requests.Timeout
            yield chunk


def _keeping(warnings: list[str], errors: list[tuple[str, str]], most_bytes: int) -> Callable[..., None]:
    """Make a hook that bounds answers, and keeps what the client library drops: warnings, and errors by their kind."""
    until = time.monotonic() + ANSWER_SECONDS

    def keep(response: requests.Response, **_: Any) -> None:
        response.raw = _Bounded(response.raw, most_bytes, until)  # nothing of the body has been read yet
        if response.ok and b'"warnings"' not in response.content:
            return
        try:
            body = response.json()
        except ValueError:
            return
        if isinstance(body, dict):
            warnings.extend(str(warning) for warning in body.get("warnings") or ())
            if body.get("errorType"):
                errors.append((str(body["errorType"]), " ".join(str(body.get("error")).split())))

    return keep
