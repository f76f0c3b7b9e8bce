"""What the fetching of models is measured beside: a plain parallel read over HTTP, and boto3's transfer manager.

Not for: being imported; `benchmarks.fetch` runs it, so that each has a process of its own.
"""

import json
import os
import sys
import urllib.parse
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import boto3
import boto3.s3.transfer
import botocore.config

BUCKET = "bench"
PART_BYTES = 16 * 2**20
PIECE_BYTES = 2**20
THREADS = 16  # of boto3, as many as we have readers
PLAIN_THREADS = 4  # the fastest of 2, 4, 8 and 16 on two cores


def put(client: Any, shapes: list[tuple[str, int, int]], home: Path) -> None:
    """Fill a bucket with models of random bytes."""
    client.create_bucket(Bucket=BUCKET)
    block = os.urandom(2**24)
    for name, files, size in shapes:
        for number in range(files):
            path = home / "upload"
            with path.open("wb") as stream:
                for written in range(0, size, len(block)):
                    stream.write(
                        (number * size + written).to_bytes(8, "big") + block[8 : min(len(block), size - written)]
                    )
            client.upload_file(str(path), BUCKET, f"{name}/1/{number}.bin")
            path.unlink()


def listed(client: Any, prefix: str) -> Iterator[tuple[str, int]]:
    """List keys and sizes."""
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix):
        for entry in page.get("Contents", ()):
            yield entry["Key"], entry["Size"]


def plain(client: Any, url: str, prefix: str, target: Path) -> None:
    """Read presigned urls by ranges over kept connections, each thread with one buffer, into files of full size."""
    parts = []
    for key, size in listed(client, prefix):
        path = target / Path(key).name
        with path.open("wb") as stream:
            stream.truncate(size)
        signed = client.generate_presigned_url("get_object", Params={"Bucket": BUCKET, "Key": key})
        split = urllib.parse.urlsplit(signed)
        for start in range(0, size, PART_BYTES):
            parts.append((f"{split.path}?{split.query}", path, start, min(start + PART_BYTES, size)))
    waiting = iter(parts)
    host = urllib.parse.urlsplit(url).netloc

    def read() -> None:
        connection, buffer = HTTPConnection(host), bytearray(PIECE_BYTES)
        view = memoryview(buffer)
        for request, path, start, end in waiting:
            connection.request("GET", request, headers={"Range": f"bytes={start}-{end - 1}"})
            answer = connection.getresponse()
            if answer.status not in (200, 206) or answer.length != end - start:
                raise SystemExit(f"{path.name}: {answer.status}, {answer.length} bytes: {answer.read()[:500]!r}")
            with path.open("r+b", buffering=0) as stream:
                stream.seek(start)
                while count := answer.readinto(buffer):
                    stream.write(view[:count])

    with ThreadPoolExecutor(PLAIN_THREADS) as pool:
        for done in [pool.submit(read) for _ in range(PLAIN_THREADS)]:
            done.result()


def transfer(client: Any, prefix: str, target: Path) -> None:
    """Download with boto3 as its documentation shows, several files at a time."""
    config = boto3.s3.transfer.TransferConfig(max_concurrency=THREADS)
    with boto3.s3.transfer.create_transfer_manager(client, config) as manager:
        for future in [
            manager.download(BUCKET, key, str(target / Path(key).name)) for key, _ in list(listed(client, prefix))
        ]:
            future.result()


def main() -> None:
    """Do what the first argument names."""
    action, url, *words = sys.argv[1:]
    client = boto3.client("s3", endpoint_url=url, config=botocore.config.Config(signature_version="s3v4"))
    if action == "put":
        put(client, json.loads(words[0]), Path(words[1]))
        return
    target = Path(words[1], "1")
    target.mkdir(parents=True)
    if action == "plain":
        plain(client, url, words[0], target)
    else:
        transfer(client, words[0], target)


if __name__ == "__main__":
    main()
