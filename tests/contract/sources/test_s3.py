"""Models in an S3 server: what is fetched, and what is said when it cannot be."""

import json
import os
from pathlib import Path

import pytest

pytestmark = pytest.mark.contract

MODEL = {
    "vision/resnet50/config.pbtxt": b'name: "of-training"\n',
    "vision/resnet50/labels.txt": b"cat\n",
    "vision/resnet50/6/model.onnx": b"six",
    "vision/resnet50/7/model.onnx": b"seven",
    "vision/resnet50/7/shards/1.bin": os.urandom(100_000),
    "vision/resnet50/10/model.onnx": b"ten",
    "vision/resnet50/tokenizer/vocabulary": b"a b c",
    "vision/resnet50/7/": b"",
    "vision/resnet50/empty/": b"",
    "vision/pre/1/model.onnx": b"pre",
    "other.txt": b"",
}
URI = "s3://models/vision/resnet50"


@pytest.fixture(autouse=True, scope="module")
def models(s3: object) -> None:
    s3.put(MODEL)


def test_the_wanted_version_and_what_stands_beside_it_are_fetched(s3: object, pod: object) -> None:
    done = pod.run("prepare", URI, secret=s3.secret, kind="KIND_GPU")

    assert done.code == 0, done.log
    tree = pod.tree()
    assert tree.pop("resnet50/config.pbtxt") == b'name: "resnet50"\ninstance_group [ { kind: KIND_GPU } ]\n'
    assert tree == {
        "resnet50/labels.txt": b"cat\n",
        "resnet50/7/model.onnx": b"seven",
        "resnet50/7/shards/1.bin": MODEL["vision/resnet50/7/shards/1.bin"],
        "resnet50/tokenizer/vocabulary": b"a b c",
    }
    assert s3.reads("vision/resnet50/6/model.onnx") == 0
    assert s3.reads("vision/resnet50/7/model.onnx") == 1
    assert os.listdir(pod.repository) == ["resnet50"]


def test_the_resolver_finds_the_highest_version_and_a_digest_that_preparing_accepts(s3: object, pod: object) -> None:
    more = [{"name": "pre", "uri": "s3://models/vision/pre"}]
    found = pod.run("resolve", URI, secret=s3.secret, version=None, models=[more[0] | {"version": None}])
    again = pod.run("resolve", URI, secret=s3.secret, version=10)

    first, second = found.answer["models"]
    assert (first["name"], first["version"], second["name"], second["version"]) == ("resnet50", 10, "pre", 1)
    assert first["bytes"] == len(b"ten" + b"cat\n" + b"a b c" + MODEL["vision/resnet50/config.pbtxt"])
    assert again.answer["models"] == [first]
    assert json.loads(found.log.splitlines()[-1]) == found.answer
    prepared = pod.run(
        "prepare",
        URI,
        secret=s3.secret,
        version=10,
        digest=first["digest"],
        models=[more[0] | {"version": 1, "digest": second["digest"]}],
    )
    assert prepared.code == 0
    assert sorted(os.listdir(pod.repository)) == ["pre", "resnet50"]


def test_a_source_that_was_overwritten_is_not_served(s3: object, pod: object) -> None:
    files = {"changing/1/model.onnx": b"before"}
    s3.put(files)
    digest = pod.run("resolve", "s3://models/changing", secret=s3.secret, version=1).answer["models"][0]["digest"]
    s3.put({"changing/1/model.onnx": b"behind"})

    refused = pod.run("prepare", "s3://models/changing", secret=s3.secret, version=1, digest=digest)
    s3.put(files)
    served = pod.run("prepare", "s3://models/changing", secret=s3.secret, version=1, digest=digest)

    assert refused.reason == "SourceChanged"
    assert "triton-operator.dev/refresh" in refused.message
    assert served.code == 0
    assert pod.tree() == {"resnet50/1/model.onnx": b"before"}


@pytest.mark.parametrize(
    ("uri", "model", "reason", "words"),
    [
        pytest.param(
            "s3://models/vision", {}, "BadLayout", "set spec.model.uri to s3://models/vision/resnet50.", id="a"
        ),
        pytest.param(f"{URI}/7", {}, "BadLayout", f"uri to {URI} and spec.model.version to 7", id="a version"),
        pytest.param(f"{URI}/config.pbtxt", {}, "BadLayout", "is a file. uri must be the model", id="a file"),
        pytest.param(URI, {"version": 8}, "NoVersions", "there are 6, 7, 10. Set spec.model.version", id="no version"),
        pytest.param(
            "s3://models/vision/resnet/7",
            {},
            "NotFound",
            's3://models/vision has no "resnet"; it holds "pre", "resnet50"',
            id="no prefix",
        ),
        pytest.param("s3://models/nothing", {}, "NotFound", 's3://models has no "nothing"', id="no prefix at the top"),
        pytest.param("s3://elsewhere/a", {}, "NotFound", "has no bucket elsewhere", id="no bucket"),
    ],
)
def test_a_wrong_uri_is_answered_with_the_right_one(
    s3: object, pod: object, uri: str, model: dict[str, object], reason: str, words: str
) -> None:
    done = pod.run("prepare", uri, secret=s3.secret, **model)

    assert done.reason == reason
    assert words in done.message


@pytest.mark.parametrize(
    ("changes", "reason", "words"),
    [
        pytest.param({"AWS_ACCESS_KEY_ID": "nobody"}, "BadCredentials", "no such AWS_ACCESS_KEY_ID", id="wrong key"),
        pytest.param(
            {"AWS_SECRET_ACCESS_KEY": "guessed"},
            "BadCredentials",
            "is not that of AWS_ACCESS_KEY_ID",
            id="wrong secret",
        ),
        pytest.param(
            {"AWS_SESSION_TOKEN": "of-somebody"}, "BadCredentials", "does not belong to the keys", id="wrong token"
        ),
        pytest.param({"AWS_REGION": "eu-west-1"}, "BadCredentials", "is us-east-1: set AWS_REGION", id="wrong region"),
        pytest.param({"AWS_SECRET_ACCESS_KEY": ""}, "BadCredentials", "AWS_SECRET_ACCESS_KEY is missing", id="half"),
        pytest.param(
            {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""},
            "AccessDenied",
            "was made without credentials",
            id="anonymous",
        ),
        pytest.param({"AWS_VIRTUAL_HOSTED_STYLE": "perhaps"}, "BadCredentials", "must be true or false", id="style"),
        pytest.param({"AWS_ENDPOINT_URL": "minio:9000"}, "BadCredentials", "AWS_ENDPOINT_URL must be", id="endpoint"),
        pytest.param({"ca.crt": "a certificate"}, "BadCredentials", "is not a certificate in PEM", id="certificate"),
    ],
)
def test_credentials_that_do_not_fit_are_answered_without_a_word_of_them(
    s3: object, pod: object, changes: dict[str, str], reason: str, words: str
) -> None:
    secret = s3.secret | changes

    done = pod.run("prepare", URI, secret=secret)

    assert done.reason == reason
    assert words in done.message
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        assert not secret.get(name) or secret[name] not in done.log


def test_a_secret_with_no_key_that_counts_is_answered_with_those_that_do(pod: object) -> None:
    done = pod.run("resolve", URI, secret={"password": "secret-value"})

    assert done.reason == "BadCredentials"
    assert 'holds "password"' in done.message
    assert "AWS_ACCESS_KEY_ID" in done.message
    assert "secret-value" not in done.log


def test_keys_of_the_environment_count_where_the_secret_has_none(s3: object, pod: object) -> None:
    assert pod.run("resolve", URI, secret=None, environment=s3.secret).code == 0


def test_a_bucket_in_the_host_name_is_asked_for_where_that_is_wanted(start_s3: object, pod: object) -> None:
    server = start_s3("--virtual-domain", "s3.test")
    server.put(MODEL)
    secret = server.secret | {
        "AWS_ENDPOINT_URL": "http://s3.test",
        "AWS_VIRTUAL_HOSTED_STYLE": "true",
        "HTTP_PROXY": server.url,  # stands in for DNS: the server gets whatever host name is asked for
    }

    done = pod.run("prepare", URI, secret=secret)

    assert done.code == 0, done.log
    assert pod.tree()["resnet50/7/model.onnx"] == b"seven"


@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")  # what puts the models there does not look
def test_a_private_authority_is_trusted_by_its_certificate_only(
    start_s3: object, authority: object, pod: object
) -> None:
    server = start_s3("--cert", str(authority.server_certificate), "--key", str(authority.server_key), scheme="https")
    server.put(MODEL)

    refused = pod.run("resolve", URI, secret=server.secret)
    trusted = pod.run("resolve", URI, secret=server.secret | {"ca.crt": authority.certificate.read_text()})

    assert refused.reason == "Unreachable"
    assert "ca.crt" in refused.message
    assert trusted.code == 0, trusted.log


def test_a_proxy_of_the_secret_is_used(s3: object, proxy: object, pod: object) -> None:
    done = pod.run("prepare", URI, secret=s3.secret | {"HTTP_PROXY": f"http://{proxy.address}"})

    assert done.code == 0, done.log
    assert proxy.told(s3.server.address)


def test_nobody_waits_for_models_of_which_one_does_not_exist(s3: object, pod: object, tmp_path: Path) -> None:
    done = pod.run("prepare", URI, secret=s3.secret, models=[{"name": "pre", "uri": "s3://models/nothing"}])

    assert done.reason == "NotFound"
    assert pod.tree() == {}
