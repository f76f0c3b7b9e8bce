"""Models from real web servers on loopback: nginx, Apache and Python's http.server; directories and archives."""

import asyncio
import hashlib
import io
import json
import shutil
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from triton_operator.models.credentials import Credentials
from triton_operator.models.failure import PrepareError, Reason
from triton_operator.models.prepare import prepare
from triton_operator.models.request import Layout, ModelRequest, PrepareRequest
from triton_operator.models.resolve import resolve

from .servers import Servers, free_port, self_signed

pytestmark = pytest.mark.contract

CONFIG = b'backend: "onnxruntime"\n'
FILES = {
    "config.pbtxt": CONFIG,
    "labels with spaces & more.txt": b"cat\ndog\n",
    "tokenizer/vocab.txt": b"a\nb\n",
    "6/model.onnx": b"six",
    "7/model.onnx": bytes(range(256)) * 200_000,  # 51 MB: several ranges
    "7/empty.bin": b"",
}
SERVED = [name for name in FILES if not name.startswith("6/")]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """What the servers serve: models/digits, readable to nginx's own user."""
    root = tmp_path / "served"
    for name, content in FILES.items():
        path = root / "models" / "digits" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root


@pytest.fixture
def servers(root: Path, tmp_path: Path) -> Iterator[Servers]:
    started = Servers(root, tmp_path)
    for path in (root, *root.parents):
        if path.is_relative_to(Path("/tmp")) and path != Path("/tmp"):
            path.chmod(0o755)
    yield started
    started.stop()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    path = tmp_path / "repository"
    path.mkdir()
    return path


def request(uri: str, repository: Path, *, version: int | None = 7, digest: str | None = None) -> PrepareRequest:
    model = ModelRequest(
        name="digits",
        version=version,
        uri=uri,
        source=None,
        repository=str(repository),
        layout=Layout.DIRECTORY,
        digest=digest,
    )
    return PrepareRequest(repository=str(repository), models=(model,))


def fetch(uri: str, repository: Path, *, digest: str | None = None, limit: int | None = None, **secret: str) -> None:
    credentials = Credentials(secret or None, {})
    asyncio.run(prepare(request(uri, repository, digest=digest), credentials, volume_bytes=limit))


def resolved(uri: str, repository: Path, version: int | None = None) -> dict[str, object]:
    answer = asyncio.run(resolve(request(uri, repository, version=version), Credentials(None, {})))
    found = json.loads(answer)["models"][0]
    assert isinstance(found, dict)
    return found


def failure(uri: str, repository: Path, **secret: str) -> PrepareError:
    with pytest.raises(PrepareError) as caught:
        fetch(uri, repository, **secret)
    assert list(repository.glob("digits")) == []
    return caught.value


def assert_served(repository: Path) -> None:
    found = {path.relative_to(repository / "digits").as_posix() for path in (repository / "digits").rglob("*.*")}
    assert found == set(SERVED)
    for name in SERVED:
        assert (repository / "digits" / name).read_bytes() == FILES[name], name
    assert [path.name for path in repository.iterdir()] == ["digits"]


INDEXES: dict[str, Callable[[Servers], str]] = {
    "nginx": lambda servers: servers.nginx(),
    "nginx, JSON": lambda servers: servers.nginx("autoindex_format json;"),
    "Apache": lambda servers: servers.apache(),
    "Python, without ranges": lambda servers: servers.python(),
}


@pytest.mark.parametrize("server", INDEXES.values(), ids=INDEXES.keys())
def test_a_model_directory_is_fetched_from_a_server_that_lists_it(
    servers: Servers, repository: Path, server: Callable[[Servers], str]
) -> None:
    uri = f"{server(servers)}/models/digits"
    found = resolved(uri, repository)
    assert (found["version"], found["bytes"]) == (7, sum(len(FILES[name]) for name in SERVED))

    fetch(uri, repository, digest=str(found["digest"]))

    assert_served(repository)


def test_an_overwritten_file_is_noticed_before_anything_is_fetched(
    servers: Servers, root: Path, repository: Path
) -> None:
    uri = f"{servers.nginx()}/models/digits"
    digest = str(resolved(uri, repository)["digest"])
    (root / "models/digits/7/model.onnx").write_bytes(b"other")

    with pytest.raises(PrepareError) as caught:
        fetch(uri, repository, digest=digest)
    assert caught.value.reason is Reason.SOURCE_CHANGED


def begun(partial: Path) -> bool:
    return partial.exists() and partial.stat().st_blocks > 0


def tar(root: Path, name: str, mode: str, top: str = "digits") -> None:
    with tarfile.open(root / name, mode) as archive:
        archive.add(root / "models" / "digits", top)


def zipped(root: Path, name: str) -> None:
    with zipfile.ZipFile(root / name, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in FILES.items():
            archive.writestr(path, content)


@pytest.mark.parametrize("server", [INDEXES["nginx"], INDEXES["Python, without ranges"]], ids=["nginx", "Python"])
@pytest.mark.parametrize(
    ("name", "pack"),
    [
        pytest.param("m.tar", lambda root, name: tar(root, name, "w"), id="tar"),
        pytest.param("m.tar.gz", lambda root, name: tar(root, name, "w:gz", "."), id="tar.gz, nothing around"),
        pytest.param("m.tgz", lambda root, name: tar(root, name, "w:gz"), id="tgz"),
        pytest.param("m.zip", zipped, id="zip"),
    ],
)
def test_a_model_is_unpacked_from_an_archive(
    servers: Servers,
    root: Path,
    repository: Path,
    name: str,
    pack: Callable[[Path, str], None],
    server: Callable[[Servers], str],
) -> None:
    pack(root, name)
    checksum = hashlib.sha256((root / name).read_bytes()).hexdigest()
    uri = f"{server(servers)}/{name}"
    found = resolved(uri, repository)
    assert found["version"] == 7
    assert list(repository.iterdir()) == []
    fetch(uri, repository, digest=str(found["digest"]))
    assert_served(repository)

    fetch(f"{uri}#sha256={checksum}", repository)
    assert_served(repository)
    assert failure(f"{uri}#sha256={'0' * 64}", repository).reason is Reason.SOURCE_CHANGED


def entry(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> Callable[[tarfile.TarFile], None]:
    def add(archive: tarfile.TarFile) -> None:
        info = tarfile.TarInfo(name)
        info.type, info.linkname, info.size = kind, link, 4 if kind == tarfile.REGTYPE else 0
        archive.addfile(info, io.BytesIO(b"evil"))

    return add


@pytest.mark.parametrize(
    ("add", "says"),
    [
        pytest.param(entry("../evil"), '"../evil", which leads out', id="above"),
        pytest.param(entry("digits/7/../../../evil"), "leads out of the archive", id="above, from within"),
        pytest.param(entry("/etc/evil"), '"/etc/evil", which leads out', id="absolute"),
        pytest.param(entry("digits/7/l", tarfile.SYMTYPE, "/etc/passwd"), 'a link to "/etc/passwd"', id="link out"),
        pytest.param(entry("digits/7/l", tarfile.SYMTYPE, "../../../x"), "is a link to", id="relative link out"),
        pytest.param(entry("digits/7/l", tarfile.LNKTYPE, "/etc/passwd"), "is a link to", id="hard link out"),
        pytest.param(entry("digits/7/l", tarfile.SYMTYPE, "l"), "is a link to", id="link to itself"),
        pytest.param(entry("digits/7/l", tarfile.SYMTYPE, ".."), "is a link to", id="link to a directory"),
        pytest.param(entry("digits/7/null", tarfile.CHRTYPE), "is a device or a pipe", id="device"),
        pytest.param(entry("digits/7"), "both as a file and as a directory", id="file and directory"),
    ],
)
def test_an_archive_that_leads_out_is_refused_by_name(
    servers: Servers, root: Path, repository: Path, tmp_path: Path, add: Callable[[tarfile.TarFile], None], says: str
) -> None:
    with tarfile.open(root / "evil.tar", "w") as archive:
        entry("digits/7/model.onnx")(archive)
        add(archive)

    error = failure(f"{servers.nginx()}/evil.tar", repository)

    assert error.reason is Reason.BAD_LAYOUT
    assert says in error.message
    assert not list(tmp_path.rglob("evil"))


def test_a_link_within_an_archive_becomes_the_file(servers: Servers, root: Path, repository: Path) -> None:
    with tarfile.open(root / "linked.tar", "w") as archive:
        entry("blobs/abc")(archive)
        entry("7/model.onnx", tarfile.SYMTYPE, "../blobs/abc")(archive)

    fetch(f"{servers.nginx()}/linked.tar", repository)

    model = repository / "digits" / "7" / "model.onnx"
    assert not model.is_symlink()
    assert model.read_bytes() == b"evil"


def test_an_archive_that_unpacks_to_more_than_the_volume_is_refused_before_it_is_unpacked(
    servers: Servers, root: Path, repository: Path
) -> None:
    with tarfile.open(root / "bomb.tar.gz", "w:gz") as archive:
        info = tarfile.TarInfo("7/model.onnx")
        info.size = 64 * 2**20
        archive.addfile(info, io.BytesIO(bytes(info.size)))

    with pytest.raises(PrepareError, match="needs 64 MiB more") as caught:
        fetch(f"{servers.nginx()}/bomb.tar.gz", repository, limit=2**20)
    assert caught.value.reason is Reason.NO_SPACE
    assert not (repository / "digits").exists()


@pytest.mark.parametrize(
    ("path", "reason", "says"),
    [
        pytest.param("models/digit", Reason.NOT_FOUND, 'has no "digit"', id="no such directory"),
        pytest.param("models", Reason.BAD_LAYOUT, "is a model repository", id="repository"),
        pytest.param("models/digits/7", Reason.BAD_LAYOUT, "is a version directory", id="version directory"),
        pytest.param("none.tar.gz", Reason.NOT_FOUND, "does not exist (404)", id="no such archive"),
        pytest.param("text.zip", Reason.BAD_LAYOUT, "cannot be read as .zip", id="no archive"),
        pytest.param("text.tar.gz", Reason.BAD_LAYOUT, "cannot be read as .tar", id="no tar"),
        pytest.param("models/digits?token=s3cr3t", Reason.BAD_LAYOUT, "remove what stands behind", id="query"),
    ],
)
def test_a_wrong_uri_is_told_with_the_remedy(
    servers: Servers, root: Path, repository: Path, path: str, reason: Reason, says: str
) -> None:
    for name in ("text.zip", "text.tar.gz"):
        (root / name).write_text("this is no archive")

    error = failure(f"{servers.nginx()}/{path}", repository)

    assert (error.reason, says in error.message) == (reason, True), error.message
    assert "s3cr3t" not in error.message


def test_a_server_that_wants_a_password_gets_it_and_the_one_it_leads_to_does_not(
    servers: Servers, root: Path, repository: Path, tmp_path: Path
) -> None:
    (tmp_path / "users").write_text("me:{PLAIN}s3cr3t\n")
    (tmp_path / "users").chmod(0o644)
    protected = f'auth_basic "models"; auth_basic_user_file {tmp_path}/users;'
    here = servers.nginx(protected)
    tar(root, "m.tar", "w")
    nothing = failure(f"{here}/models/digits", repository)
    wrong = failure(f"{here}/models/digits", repository, HTTP_USER="me", HTTP_PASSWORD="wr0ng")
    fetch(f"{here}/models/digits", repository, HTTP_USER="me", HTTP_PASSWORD="s3cr3t")
    assert_served(repository)

    assert nothing.reason is wrong.reason is Reason.ACCESS_DENIED
    assert "asked without credentials" in nothing.message
    assert "wr0ng" not in wrong.message
    shutil.rmtree(repository / "digits")
    elsewhere = servers.nginx(f"return 302 {here}/m.tar;")
    assert failure(f"{elsewhere}/m.tar", repository, HTTP_USER="me", HTTP_PASSWORD="s3cr3t").reason is (
        Reason.ACCESS_DENIED
    )


def test_a_private_authority_is_trusted_by_its_certificate_and_https_never_becomes_http(
    servers: Servers, root: Path, repository: Path, tmp_path: Path
) -> None:
    key, certificate = self_signed(tmp_path)
    plain, port = servers.nginx(), free_port()
    tls = f"ssl_certificate {certificate}; ssl_certificate_key {key}; location /down {{ return 302 {plain}/models/; }}"
    uri = servers.start_nginx(port, f"listen 127.0.0.1:{port} ssl;", tls).replace("http", "https")

    untrusted = failure(f"{uri}/models/digits", repository)
    down = failure(f"{uri}/down/digits", repository, **{"ca.crt": certificate.read_text()})
    fetch(f"{uri}/models/digits", repository, **{"ca.crt": certificate.read_text()})

    assert_served(repository)
    assert untrusted.reason is down.reason is Reason.UNREACHABLE
    assert "ca.crt" in untrusted.message
    assert "not encrypted" in down.message


def test_a_server_that_is_killed_and_comes_back_is_read_on(servers: Servers, repository: Path) -> None:
    port = free_port()
    listen = f"listen 127.0.0.1:{port};"
    uri = servers.start_nginx(port, listen, "limit_rate 400k;")
    slow = servers.started[-1]

    async def story() -> None:
        work = asyncio.create_task(
            prepare(request(f"{uri}/models/digits", repository), Credentials(None, {}), volume_bytes=None)
        )
        partial = repository / ".digits.partial" / "7" / "model.onnx"
        while not work.done() and not begun(partial):  # noqa: ASYNC110  # the condition is on disk
            await asyncio.sleep(0.02)
        assert not work.done()
        slow.kill()
        slow.wait()
        servers.start_nginx(port, listen)
        await work

    asyncio.run(story())

    assert_served(repository)
