"""The engine against a real S3 server: killed, cut off, full, overwritten; what is there is whole or not there."""

import hashlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.contract

MIB = 2**20
PART = 16 * MIB
BIG = "big/1/model.bin"
BIG_BYTES = 384 * MIB
WAIT_SECONDS = 60


@pytest.fixture(scope="module")
def big(s3: object) -> str:
    """A model of one large file; its bytes differ from part to part. Gives the file's SHA-256."""
    piece = os.urandom(MIB)
    content = b"".join(number.to_bytes(8, "big") + piece[8:] for number in range(BIG_BYTES // MIB))
    s3.put({BIG: content})
    return hashlib.sha256(content).hexdigest()


def checksum(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def wait_for(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"no {what} after {WAIT_SECONDS} s"
        time.sleep(0.001)


def finished_parts(pod: object) -> int:
    journal = pod.repository / ".resnet50.journal"
    return max(len(journal.read_bytes().splitlines()) - 1, 0) if journal.exists() else 0


def test_a_killed_fetch_goes_on_where_it_was(s3: object, pod: object, big: str) -> None:
    process = pod.start("prepare", "s3://models/big", version=1, secret=s3.secret)
    wait_for(lambda: finished_parts(pod) > 2, "finished part")
    process.kill()
    process.wait()
    s3.server.kill()  # with what it still had to send to the dead
    s3.server.start()
    finished = finished_parts(pod)
    assert not (pod.repository / "resnet50").exists()
    before = s3.reads(BIG)

    done = pod.run("prepare", "s3://models/big", version=1, secret=s3.secret)

    assert done.code == 0, done.log
    assert f"{finished * 16}.0 MiB of it from a former try" in done.log
    assert s3.reads(BIG) - before == BIG_BYTES // PART - finished
    assert checksum(pod.repository / "resnet50" / "1" / "model.bin") == big
    assert os.listdir(pod.repository) == ["resnet50"]


def test_a_server_that_is_killed_and_comes_back_is_waited_for(start_s3: object, pod: object) -> None:
    server = start_s3()
    content = os.urandom(8 * MIB) * 40
    server.put({BIG: content})
    process = pod.start("prepare", "s3://models/big", version=1, secret=server.secret)
    lines: list[str] = []
    reader = threading.Thread(target=lambda: lines.extend(process.stdout))
    reader.start()
    wait_for(lambda: finished_parts(pod) > 0, "finished part")
    server.server.kill()
    wait_for(lambda: any(line.startswith("Trying again: http://") for line in lines), "word of another try")

    server.server.start()

    assert process.wait(WAIT_SECONDS) == 0
    reader.join()
    assert checksum(pod.repository / "resnet50" / "1" / "model.bin") == hashlib.sha256(content).hexdigest()


SURVEY_THEN_PLACE = """
import asyncio, os, sys
from triton_operator.models.credentials import Credentials
from triton_operator.models.failure import PrepareError
from triton_operator.models.program import end
from triton_operator.models.request import Layout, ModelRequest
from triton_operator.models.sources import source_of

async def main():
    model = ModelRequest(
        name="m", version=1, uri=sys.argv[1], source=None, repository=sys.argv[2], layout=Layout.DIRECTORY
    )
    source = source_of(model, Credentials(None, dict(os.environ)), volume_bytes=None)
    await source.survey()
    print("surveyed", flush=True)
    sys.stdin.readline()
    try:
        await source.place()
    except PrepareError as error:
        print(error.reason, error.message)
asyncio.run(main())
end(0)
"""


@pytest.mark.parametrize(
    ("later", "words"),
    [
        pytest.param({"moving/1/a.bin": b"b" * 1000}, "moving/1/a.bin was overwritten", id="overwritten"),
        pytest.param({"moving/1/c.bin": b"c"}, "2 files of 1001 bytes became 3 files of 1002", id="another file"),
    ],
)
def test_a_source_that_changes_while_it_is_fetched_is_never_served(
    s3: object, tmp_path: Path, later: dict[str, bytes], words: str, request: pytest.FixtureRequest
) -> None:
    bucket = f"moving-{len(request.node.name)}-{len(words)}"
    s3.put({"moving/1/a.bin": b"a" * 1000, "moving/labels.txt": b"l"}, bucket=bucket)
    process = subprocess.Popen(
        [sys.executable, "-c", SURVEY_THEN_PLACE, f"s3://{bucket}/moving", str(tmp_path)],
        env=os.environ | s3.secret,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "surveyed\n"
    s3.put(later, bucket=bucket)

    said, _ = process.communicate("\n", timeout=WAIT_SECONDS)

    assert "SourceChanged" in said
    assert words in said
    assert not (tmp_path / "m").exists()


@pytest.fixture
def small_disk(pod: object) -> Iterator[Path]:
    """A file system of 64 MiB in place of the repository."""
    if os.geteuid():
        pytest.fail("mounting a small file system needs root: run the contract tests as root", pytrace=False)
    pod.repository.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(pod.repository)], check=True)
    yield pod.repository
    subprocess.run(["umount", str(pod.repository)], check=True)


def test_a_model_that_does_not_fit_on_the_disk_is_refused_before_it_is_fetched(
    s3: object, pod: object, small_disk: Path, big: str
) -> None:
    before = s3.reads(BIG)

    done = pod.run("prepare", "s3://models/big", version=1, secret=s3.secret)

    assert done.reason == "NoSpace"
    assert "needs 384 MiB more, but the disk has only 64 MiB left" in done.message
    assert s3.reads(BIG) == before


def test_a_model_that_does_not_fit_into_its_volume_is_refused(s3: object, pod: object, big: str) -> None:
    limit = {"TRITON_OPERATOR_VOLUME_BYTES": str(100 * MIB)}

    done = pod.run("prepare", "s3://models/big", version=1, secret=s3.secret, environment=limit)

    assert done.reason == "NoSpace"
    assert "of the 100 MiB of its volume there are only 100 MiB left" in done.message


def test_a_disk_that_fills_up_meanwhile_is_no_space(s3: object, pod: object, small_disk: Path) -> None:
    s3.put({f"middle/1/{number}.bin": os.urandom(8 * MIB) for number in range(7)})
    process = pod.start("prepare", "s3://models/middle", version=1, secret=s3.secret)
    wait_for(lambda: (pod.repository / ".resnet50.partial" / "1" / "6.bin").exists(), "beginning")
    taken = pod.repository / "taken"
    with taken.open("wb") as stream:
        try:
            while stream.write(bytes(MIB)):
                stream.flush()
        except OSError:
            os.truncate(taken, taken.stat().st_size)

    done = pod.wait(process)

    assert done.reason == "NoSpace"
    assert not (pod.repository / "resnet50").exists()


@pytest.mark.parametrize("model", ["big", "many"])
def test_memory_is_bounded_whatever_is_fetched(s3: object, pod: object, big: str, model: str) -> None:
    if model == "many":
        s3.put({f"many/1/{number}.bin": number.to_bytes(4, "big") * 50 for number in range(400)})

    done = pod.run("prepare", f"s3://models/{model}", version=1, secret=s3.secret)

    assert done.code == 0, done.log
    assert pod.peak_bytes() < 150 * MIB
