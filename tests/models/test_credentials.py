import ssl
from pathlib import Path

import pytest

from triton_operator.models.credentials import METADATA_SERVERS, Credentials
from triton_operator.models.failure import PrepareError, Reason


def mounted(tmp_path: Path, keys: dict[str, bytes]) -> Path:
    """A Secret as the kubelet mounts it: keys are links to ..data, which is a link."""
    content = tmp_path / "credentials" / "..2026_11_23"
    content.mkdir(parents=True)
    (tmp_path / "credentials" / "..data").symlink_to("..2026_11_23")
    for name, value in keys.items():
        (content / name).write_bytes(value)
        (tmp_path / "credentials" / name).symlink_to(f"..data/{name}")
    return tmp_path / "credentials"


def test_the_secret_counts_before_the_environment(tmp_path: Path) -> None:
    directory = mounted(tmp_path, {"AWS_REGION": b"eu-west-1\n", "AWS_ENDPOINT_URL": b""})

    found = Credentials.read(directory, {"AWS_REGION": "us-west-2", "AWS_ENDPOINT_URL": "http://here", "OTHER": "o"})

    assert found.get("AWS_REGION") == "eu-west-1"
    assert found.get("AWS_ENDPOINT_URL") == "http://here"
    assert found.get("ABSENT", "OTHER") == "o"
    assert found.get("ABSENT") is None
    assert "eu-west-1" not in repr(found)


def test_without_a_secret_there_is_nothing_to_check(tmp_path: Path) -> None:
    Credentials.read(tmp_path / "absent", {}).check(uri="s3://b/m", keys=("AWS_REGION",))


def test_a_key_that_is_no_text_is_named(tmp_path: Path) -> None:
    with pytest.raises(PrepareError, match='"AWS_REGION"') as caught:
        Credentials.read(mounted(tmp_path, {"AWS_REGION": b"\xff"}), {})

    assert caught.value.reason is Reason.BAD_CREDENTIALS


def test_proxies_of_the_secret_reach_every_client_of_the_process(tmp_path: Path) -> None:
    environment = {"HTTPS_PROXY": "http://other:1", "PATH": "/bin"}

    Credentials.read(mounted(tmp_path, {"HTTPS_PROXY": b"http://proxy:3128"}), {}).apply(environment)

    assert environment == {"HTTPS_PROXY": "http://proxy:3128", "https_proxy": "http://proxy:3128", "PATH": "/bin"}


@pytest.mark.parametrize("given", ["", "minio.storage,.svc"])
def test_no_proxy_of_the_secret_comes_between_a_pod_and_the_server_that_tells_who_it_is(
    tmp_path: Path, given: str
) -> None:
    environment: dict[str, str] = {}
    secret = {"HTTP_PROXY": b"http://proxy:3128"} | ({"NO_PROXY": given.encode()} if given else {})

    Credentials.read(mounted(tmp_path, secret), {}).apply(environment)

    hosts = environment["NO_PROXY"].split(",")
    assert environment["no_proxy"] == environment["NO_PROXY"]
    assert hosts[: -len(METADATA_SERVERS)] == (given.split(",") if given else [])
    assert "metadata.google.internal" in hosts


def test_an_authority_of_the_secret_is_trusted_beside_those_of_the_system(tmp_path: Path) -> None:
    own = Path(__file__).with_name("authority.crt").read_bytes()
    environment: dict[str, str] = {}

    Credentials.read(mounted(tmp_path, {"ca.crt": own}), {}).apply(environment)

    trusted = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusted.load_verify_locations(environment["SSL_CERT_FILE"])
    names = [dict(part for (part,) in root["subject"]) for root in trusted.get_ca_certs()]
    assert {"commonName": "A private authority"} in names
    assert len(names) > 1
    assert environment["REQUESTS_CA_BUNDLE"] == environment["SSL_CERT_FILE"]
