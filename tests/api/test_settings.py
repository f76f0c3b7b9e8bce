from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from triton_operator.api.settings import Settings, read_settings

IMAGE = {"prepareImage": "triton-operator:1"}


def written(path: Path, content: Any) -> Path:
    file = path / "settings.yaml"
    file.write_text(content if isinstance(content, str) else yaml.safe_dump(content), encoding="utf-8")
    return file


def test_all_but_the_image_of_the_init_container_has_a_default(tmp_path: Path) -> None:
    settings = read_settings(written(tmp_path, IMAGE))

    assert settings == Settings(prepareImage="triton-operator:1")
    assert (settings.watch.namespaces, settings.watch.selector, settings.workers, settings.port) == ((), "", 16, 8080)
    assert settings.leaderElection.retrySeconds < settings.leaderElection.renewSeconds
    assert settings.leaderElection.renewSeconds < settings.leaderElection.leaseDurationSeconds


def test_every_setting_can_be_written(tmp_path: Path) -> None:
    everything = {
        "tritonImage": "tritonserver:2",
        "prepareImage": "triton-operator:1",
        "prepareImagePullPolicy": "Always",
        "prepareImagePullSecrets": ["registry"],
        "watch": {"namespaces": ["a", "b-9"], "selector": "team in (a, b)"},
        "leaderElection": {
            "name": "other",
            "namespace": "system",
            "leaseDurationSeconds": 60,
            "renewSeconds": 40,
            "retrySeconds": 5,
        },
        "log": {"level": "debug", "format": "text"},
        "gpu": {
            "provider": "custom",
            "profile": {
                "resourceName": "amd.com/gpu",
                "migResourceName": "",
                "sharedResourceName": "amd.com/gpu.shared",
                "productLabel": "example.com/gpu",
                "memoryLabel": "example.com/memory",
                "migLabel": "example.com/slices",
                "migValue": "all-{mig}",
                "sliceLabel": "example.com/sliced",
                "sharingLabel": "example.com/sharing",
                "timeSlicingValue": "turns",
                "mpsValue": "together",
                "mpsWithoutHostIpc": False,
                "spotLabel": "example.com/spot",
                "spotValue": "yes",
                "nodePoolLabel": "example.com/pool",
                "taints": [{"key": "example.com/gpu", "value": "", "effect": "NoExecute"}],
                "spotTaints": [{"key": "example.com/spot", "value": "yes", "effect": "NoSchedule"}],
                "scalesFromZero": True,
                "templateLabels": ["example.com/gpu"],
            },
        },
        "prometheus": {
            "url": "https://prometheus.monitoring:9090/prefix",
            "caFile": "/etc/prometheus/ca.crt",
            "tokenFile": "/var/run/token",
            "headers": {"X-Scope-OrgID": "models"},
            "allowQueries": False,
        },
        "podMonitor": {"enabled": False, "intervalSeconds": 15, "labels": {"release": "kube-prometheus-stack"}},
        "workers": 4,
        "resyncSeconds": 60,
        "port": 9090,
    }

    assert read_settings(written(tmp_path, everything)).model_dump(mode="json") == everything


@pytest.mark.parametrize("content", [pytest.param("", id="empty"), pytest.param("# nothing\n", id="only a comment")])
def test_an_empty_file_is_refused_by_the_name_of_what_is_missing(tmp_path: Path, content: str) -> None:
    with pytest.raises(ValidationError, match=r"prepareImage\n  Field required"):
        read_settings(written(tmp_path, content))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        pytest.param({"tritonimage": "x"}, r"tritonimage\n  Extra inputs are not permitted", id="misspelt"),
        pytest.param({"triton_image": "x"}, r"triton_image\n  Extra inputs", id="snake case"),
        pytest.param({"watch": {"namespace": "a"}}, r"watch\.namespace\n  Extra inputs", id="misspelt below"),
        pytest.param(
            {"watch": {"namespaces": "a"}}, r"watch\.namespaces\n  Input should be a valid tuple", id="no list"
        ),
        pytest.param({"watch": {"namespaces": ["A"]}}, r"watch\.namespaces\.0\n  String should match", id="capital"),
        pytest.param({"watch": {"namespaces": ["../a"]}}, r"watch\.namespaces\.0\n  String should match", id="path"),
        pytest.param({"watch": {"namespaces": ["a\n"]}}, r"watch\.namespaces\.0\n  String should match", id="line end"),
        pytest.param({"watch": {"namespaces": ["a" * 64]}}, r"watch\.namespaces\.0\n  String should have", id="long"),
        pytest.param({"watch": {"namespaces": [5]}}, r"watch\.namespaces\.0\n  Input should be a valid string", id="5"),
        pytest.param({"watch": {"selector": "a" * 1025}}, r"watch\.selector\n  String should have", id="selector"),
        pytest.param({"tritonImage": ""}, r"tritonImage\n  String should have at least 1", id="no image"),
        pytest.param({"prepareImage": None}, r"prepareImage\n  Input should be a valid string", id="null"),
        pytest.param({"prepareImagePullPolicy": "always"}, r"prepareImagePullPolicy\n  Input should be", id="policy"),
        pytest.param({"log": {"level": "loud"}}, r"log\.level\n  Input should be 'debug'", id="log level"),
        pytest.param({"log": {"format": "xml"}}, r"log\.format\n  Input should be 'json' or 'text'", id="log format"),
        pytest.param({"log": "debug"}, r"log\n  Input should be a valid dictionary", id="text for a group"),
        pytest.param({"gpu": {"provider": "aws"}}, r"gpu\.provider\n  Input should be 'gpu-operator'", id="provider"),
        pytest.param(
            {"gpu": {"profile": {"gpuLabel": "a"}}}, r"gpu\.profile\.gpuLabel\n  Extra inputs", id="unknown label"
        ),
        pytest.param(
            {"gpu": {"profile": {"spotLabel": "a b"}}}, r"gpu\.profile\.spotLabel\n  String should match", id="no label"
        ),
        pytest.param(
            {"gpu": {"profile": {"migValue": "1g.10gb"}}}, r"profile\.migValue\n  String should match", id="any slice"
        ),
        pytest.param(
            {"gpu": {"profile": {"migResourceName": "{mig}"}}}, r"migResourceName\n  String should match", id="no group"
        ),
        pytest.param({"gpu": {"profile": {"resourceName": "gpu"}}}, r"resourceName\n  String should match", id="bare"),
        pytest.param(
            {"gpu": {"profile": {"scalesFromZero": "yes"}}}, r"scalesFromZero\n  Input should be a valid b", id="yes"
        ),
        pytest.param(
            {"gpu": {"profile": {"taints": [{"value": "a"}]}}}, r"taints\.0\.key\n  Field required", id="any taint"
        ),
        pytest.param({"workers": 0}, r"workers\n  Input should be greater than or equal to 1", id="no workers"),
        pytest.param({"workers": 65}, r"workers\n  Input should be less than or equal to 64", id="many workers"),
        pytest.param({"workers": 1.5}, r"workers\n  Input should be a valid integer", id="a worker and a half"),
        pytest.param({"workers": "many"}, r"workers\n  Input should be a valid integer", id="a word"),
        pytest.param({"resyncSeconds": 29}, r"resyncSeconds\n  Input should be greater", id="resync too often"),
        pytest.param({"resyncSeconds": 86401}, r"resyncSeconds\n  Input should be less", id="resync too rare"),
        pytest.param({"resyncSeconds": float("nan")}, r"resyncSeconds\n  Input should be", id="not a number"),
        pytest.param({"port": 0}, r"port\n  Input should be greater", id="port 0"),
        pytest.param({"port": 65536}, r"port\n  Input should be less", id="port too high"),
        pytest.param(
            {"leaderElection": {"leaseDurationSeconds": 2}},
            r"leaderElection\.leaseDurationSeconds\n  Input should be greater",
            id="lease too short",
        ),
        pytest.param(
            {"leaderElection": {"retrySeconds": 0}}, r"leaderElection\.retrySeconds\n  Input should be", id="no pause"
        ),
        pytest.param(
            {"leaderElection": {"namespace": "A"}}, r"leaderElection\.namespace\n  String should match", id="namespace"
        ),
    ],
)
def test_a_wrong_setting_is_refused_by_its_name(tmp_path: Path, changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        read_settings(written(tmp_path, IMAGE | changed))


def test_all_wrong_settings_are_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(ValidationError) as refused:
        read_settings(written(tmp_path, {"port": 0, "workers": 0, "extra": 1}))

    assert {error["loc"] for error in refused.value.errors()} == {
        ("prepareImage",),
        ("port",),
        ("workers",),
        ("extra",),
    }


@pytest.mark.parametrize("content", ["- a\n", "text\n", "5\n"])
def test_a_file_that_holds_no_settings_is_refused(tmp_path: Path, content: str) -> None:
    with pytest.raises(ValidationError, match="Input should be a valid dictionary"):
        read_settings(written(tmp_path, content))


def test_a_file_that_is_no_yaml_is_refused(tmp_path: Path) -> None:
    with pytest.raises(yaml.YAMLError):
        read_settings(written(tmp_path, "a: [\n"))


def test_yaml_cannot_make_objects(tmp_path: Path) -> None:
    with pytest.raises(yaml.YAMLError, match="could not determine a constructor"):
        read_settings(written(tmp_path, "prepareImage: !!python/object/apply:os.getcwd []\n"))


def test_a_file_that_is_not_there_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_settings(tmp_path / "absent.yaml")


def test_settings_cannot_be_changed_later() -> None:
    settings = Settings(prepareImage="a")

    with pytest.raises(ValidationError, match="frozen"):
        settings.workers = 1  # type: ignore[misc]  # what is tested


def test_every_setting_says_what_it_is_for() -> None:
    def bare(model: Any, path: str) -> list[str]:
        found = []
        for name, field in model.model_fields.items():
            inner = field.annotation if hasattr(field.annotation, "model_fields") else None
            found += bare(inner, f"{path}{name}.") if inner else []
            found += [] if inner or field.description else [path + name]
        return found

    assert bare(Settings, "") == []
