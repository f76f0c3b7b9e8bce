"""The init container's program: prepare the model repository that Triton serves, or say why that cannot be.

`python -m triton_operator.models.prepare` reads one environment variable (see `models.request`), works without a shell,
and ends with 0, or with 1 and a termination message of one JSON line.
Not for: being imported by the operator; that writes the request with `models.request`.
"""

import os
from collections.abc import MutableMapping
from pathlib import Path

from triton_operator.models.credentials import DIRECTORY, Credentials
from triton_operator.models.failure import TERMINATION_LOG
from triton_operator.models.place import remove
from triton_operator.models.program import end, obey_termination, run
from triton_operator.models.request import PrepareRequest, bad_request
from triton_operator.models.sources import source_of
from triton_operator.models.storage import check_space, storage_failures
from triton_operator.models.survey import check_digest

# Environment variable: the size limit of the repository's volume in bytes, where it has one.
VOLUME_BYTES = "TRITON_OPERATOR_VOLUME_BYTES"


async def prepare(request: PrepareRequest, credentials: Credentials, *, volume_bytes: int | None) -> None:
    """Make the repository. All sources are looked at before the first byte is fetched.

    Args:
        request: the models.
        credentials: what the user gave for them.
        volume_bytes: size limit of the repository's volume; None if it has none but the disk's.

    Raises:
        PrepareError: it cannot be done.
    """
    for model in request.models:
        if model.version is None:
            raise bad_request("version must not be null for preparing a model: only the resolver finds the highest one")
        with storage_failures(model, model.model_directory):
            remove(model.model_directory)  # of a former attempt; its space counts as free
    sources = [source_of(model, credentials, volume_bytes=volume_bytes) for model in request.models]
    try:
        for model, source in zip(request.models, sources, strict=True):
            check_digest(model, await source.survey())
        check_space(Path(request.repository), sum(source.missing_bytes() for source in sources), limit=volume_bytes)
        for model, source in zip(request.models, sources, strict=True):
            await source.place()
            print(f"Prepared model {model.name}, version {model.version}, from {model.shown}", flush=True)
    finally:
        for source in sources:
            await source.close()


def main(
    environment: MutableMapping[str, str] = os.environ,
    *,
    termination_log: Path = TERMINATION_LOG,
    credentials: Path = DIRECTORY,
) -> int:
    """Prepare the models that the environment names.

    Args:
        environment: holds the request.
        termination_log: where the kubelet reads why the container failed.
        credentials: where the user's Secret is mounted, if there is one.

    Returns:
        The exit code: 0 when the repository is ready, 1 after a failure that has been reported.
    """
    limit = environment.get(VOLUME_BYTES, "")

    async def program(request: PrepareRequest, given: Credentials) -> None:
        await prepare(request, given, volume_bytes=int(limit) if limit.isdecimal() else None)

    return run(program, environment, termination_log=termination_log, credentials=credentials)


if __name__ == "__main__":
    obey_termination()
    end(main())
