"""Questions to a Prometheus, within a time limit; what it warns of is kept.

Not for: what to ask; see `edges.envoy`.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import requests
from prometheus_api_client import PrometheusConnect
from prometheus_api_client.exceptions import PrometheusApiClientException
from urllib3.util.retry import Retry

from triton_operator.api.settings import Prometheus as Settings

Json = dict[str, Any]

ANSWER_SECONDS = 5.0
"""Time limit of one question: it is asked again at the next look."""
AT_A_TIME = 4
_MESSAGE = 512


class Unmeasured(Exception):
    """Prometheus gave no answer that can be relied on; the message says why."""


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

    def close(self) -> None:
        """Ask nothing any more."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _asked(self, query: str) -> list[Json]:
        warnings: list[str] = []
        url = self._settings.url.rstrip("/")
        try:
            with requests.Session() as session:  # its own for each question: files are read anew, threads share nothing
                session.verify = self._settings.caFile or True
                session.trust_env = True
                session.hooks["response"].append(_keeping(warnings))
                headers = dict(self._settings.headers)
                if self._settings.tokenFile:
                    token = Path(self._settings.tokenFile).read_text(encoding="utf-8").strip()
                    headers["Authorization"] = f"Bearer {token}"
                client = PrometheusConnect(
                    url, headers=headers, session=session, retry=Retry(total=0), timeout=ANSWER_SECONDS, method="POST"
                )
                found: list[Json] = client.custom_query(query, timeout=ANSWER_SECONDS)
        except PrometheusApiClientException as error:
            raise Unmeasured(f"{url} refused the question: {error}"[:_MESSAGE]) from error
        except requests.Timeout as error:
            raise Unmeasured(f"{url} did not answer within {ANSWER_SECONDS:g} s") from error
        except (requests.JSONDecodeError, KeyError, TypeError) as error:
            raise Unmeasured(f"what {url} answered is not that of a Prometheus: {error!r}"[:_MESSAGE]) from error
        except (requests.RequestException, OSError, ValueError) as error:
            raise Unmeasured(f"{url} cannot be asked: {error}"[:_MESSAGE]) from error
        if warnings:
            raise Unmeasured(f"{url} answered in part: {'; '.join(warnings)}"[:_MESSAGE])
        return found


def _keeping(warnings: list[str]) -> Callable[..., None]:
    """Make a hook that keeps what the client library drops."""

    def keep(response: requests.Response, **_: Any) -> None:
        try:
            body = response.json()
        except ValueError:
            return
        if isinstance(body, dict):
            warnings.extend(str(warning) for warning in body.get("warnings") or ())

    return keep
