"""What object stores document that they answer; servers that can be run are asked in tests/contract/sources."""

from pathlib import Path

import pytest

from triton_operator.models.credentials import Credentials
from triton_operator.models.failure import PrepareError, Reason
from triton_operator.models.object_access import Bucket, bucket_of
from triton_operator.models.object_errors import failure_of
from triton_operator.models.remote import TransientError
from triton_operator.models.request import Layout, ModelRequest

SECRET = {"AWS_ACCESS_KEY_ID": "AKIAEXAMPLE", "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI"}


def bucket(uri: str = "s3://models/a/b", secret: dict[str, str] | None = None) -> tuple[Bucket, str]:
    model = ModelRequest(
        name="m", version=1, uri=uri, source=None, repository="/models", layout=Layout.DIRECTORY, kind=None
    )
    return bucket_of(model, Credentials(secret, {}))


def answer(status: str, code: str, more: str = "") -> Exception:
    body = f"<Error><Code>{code}</Code><Message>No.</Message><AWSAccessKeyId>AKIAEXAMPLE</AWSAccessKeyId>{more}</Error>"
    return Exception(f"Generic S3 error: Server returned non-2xx status code: {status}: {body}")


@pytest.mark.parametrize(
    ("error", "reason", "words"),
    [
        pytest.param(answer("400 Bad Request", "ExpiredToken"), "BadCredentials", "token has expired", id="expired"),
        pytest.param(answer("403 Forbidden", "RequestTimeTooSkewed"), "AccessDenied", "the clocks differ", id="skew"),
        pytest.param(answer("403 Forbidden", "AccessDenied"), "AccessDenied", "to list the bucket", id="denied"),
        pytest.param(
            answer("301 Moved Permanently", "PermanentRedirect"), "BadCredentials", "AWS_REGION", id="redirected"
        ),
        pytest.param(
            answer("400 Bad Request", "AuthorizationHeaderMalformed", "<Region>eu-west-1</Region>"),
            "BadCredentials",
            "is eu-west-1: set AWS_REGION to it",
            id="region",
        ),
        pytest.param(answer("401 Unauthorized", ""), "BadCredentials", "is not accepted", id="unauthorized"),
        pytest.param(answer("400 Bad Request", "InvalidRequest"), "Unreadable", "400 InvalidRequest", id="other"),
        pytest.param(
            Exception("HTTP error\n invalid peer certificate: Expired"), "Unreachable", "(Expired)", id="expired cert"
        ),
    ],
)
def test_what_another_try_cannot_mend_is_said_with_its_remedy(error: Exception, reason: str, words: str) -> None:
    failure = failure_of(error, bucket(secret=SECRET)[0])

    assert isinstance(failure, PrepareError)
    assert failure.reason.value == reason
    assert words in failure.message
    assert "AKIAEXAMPLE" not in failure.message


@pytest.mark.parametrize(
    ("error", "words"),
    [
        pytest.param(answer("503 Service Unavailable", "SlowDown"), "503 SlowDown", id="slow down"),
        pytest.param(answer("500 Internal Server Error", "InternalError"), "500 InternalError", id="server"),
        pytest.param(answer("400 Bad Request", "RequestTimeout"), "400 RequestTimeout", id="timeout of the server"),
        pytest.param(answer("429 Too Many Requests", ""), "429", id="too many"),
        pytest.param(Exception("dns error"), "s3.us-east-1.amazonaws.com cannot be found in DNS", id="dns"),
        pytest.param(Exception("Connection refused"), "(connection refused)", id="refused"),
        pytest.param(Exception("error decoding response body"), "(the connection broke)", id="broken"),
    ],
)
def test_what_another_try_may_mend_is_tried_again(error: Exception, words: str) -> None:
    failure = failure_of(error, bucket(secret=SECRET)[0])

    assert isinstance(failure, TransientError)
    assert words in failure.message


@pytest.mark.parametrize(
    ("uri", "environment", "access"),
    [
        pytest.param("s3://b/m", {}, "without credentials", id="s3 anonymous"),
        pytest.param(
            "s3://b/m",
            {"AWS_ROLE_ARN": "arn:aws:iam::1:role/r", "AWS_WEB_IDENTITY_TOKEN_FILE": "/token"},
            "workload identity",
            id="s3 web identity",
        ),
        pytest.param("gs://b/m", {"NO_GCE_CHECK": "true"}, "without credentials", id="gs anonymous"),
        pytest.param(
            "gs://b/m",
            {"GOOGLE_ENDPOINT_URL": "http://emulator:4443"},
            "and GOOGLE_ENDPOINT_URL is not Google's",
            id="gs elsewhere",
        ),
        pytest.param("gs://b/m", {"GCE_METADATA_HOST": "169.254.169.254"}, "workload identity", id="gs metadata"),
        pytest.param("az://account/c/m", {}, "without credentials", id="az anonymous"),
        pytest.param(
            "az://account/c/m",
            {"AZURE_CLIENT_ID": "c", "AZURE_TENANT_ID": "t", "AZURE_FEDERATED_TOKEN_FILE": "/token"},
            "AZURE_CLIENT_ID",
            id="az workload identity",
        ),
    ],
)
def test_without_a_secret_workload_identity_counts_and_else_nobody_is_named(
    uri: str, environment: dict[str, str], access: str
) -> None:
    model = ModelRequest(name="m", version=1, uri=uri, source=None, repository="/models", layout=Layout.DIRECTORY)

    found, path = bucket_of(model, Credentials(None, environment))

    assert access in found.access
    assert (found.root, path) == (uri.removesuffix("/m"), "m")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        pytest.param(
            '{"type": "authorized_user", "client_id": "c", "client_secret": "s", "refresh_token": "r"}', "", id="a user"
        ),
        pytest.param('{"type": "external_account"}', "is of type external_account", id="federated"),
        pytest.param("{}", "cannot be read", id="no type"),
        pytest.param("[", "cannot be read", id="no JSON"),
        pytest.param(None, "cannot be read", id="no file"),
    ],
)
def test_application_credentials_of_the_pod_count_if_they_can_be_used(
    tmp_path: Path, content: str | None, words: str
) -> None:
    file = tmp_path / "credentials.json"
    if content:
        file.write_text(content)
    model = ModelRequest(
        name="m", version=1, uri="gs://b/m", source=None, repository="/models", layout=Layout.DIRECTORY
    )
    given = Credentials(None, {"GOOGLE_APPLICATION_CREDENTIALS": str(file)})

    if not words:
        assert "application credentials of the pod" in bucket_of(model, given)[0].access
        return
    with pytest.raises(PrepareError, match=words) as caught:
        bucket_of(model, given)
    assert caught.value.reason is Reason.BAD_CREDENTIALS


@pytest.mark.parametrize(
    ("uri", "secret", "words"),
    [
        pytest.param("gs://b/m", {"key.json": "{}"}, "client_email and private_key", id="no key file"),
        pytest.param("az://account/c/m", {"AZURE_CLIENT_ID": "c"}, "AZURE_TENANT_ID", id="half a client"),
        pytest.param("az://account/c/m", {"AZURE_STORAGE_KEY": "?"}, "does not fit", id="a key that is no base64"),
        pytest.param("az://account", {"AZURE_STORAGE_KEY": "a2V5"}, "az://ACCOUNT/CONTAINER/PATH", id="no container"),
    ],
)
def test_a_secret_that_does_not_fit_is_refused_before_anything_is_asked(
    uri: str, secret: dict[str, str], words: str
) -> None:
    with pytest.raises(PrepareError, match=words):
        bucket(uri, secret)
