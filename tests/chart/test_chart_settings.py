"""Whatever values say, the operator can read the settings that they make."""

from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from triton_operator.api.settings import Settings

from .conftest import CHART, Object, Refused, Render

VALUES = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
NAMES = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,20}[a-z0-9])?", fullmatch=True)
SELECTORS = st.text(st.sampled_from("aZ09-_./=!<>(), "), max_size=40)

SECTIONS: dict[str, st.SearchStrategy[Any]] = {
    "watch": st.fixed_dictionaries(
        {}, optional={"namespaces": st.lists(NAMES, unique=True, max_size=3), "selector": SELECTORS}
    ),
    "leaderElection": st.tuples(st.integers(1, 60), st.integers(1, 200), st.integers(1, 200)).map(
        lambda t: {
            "retrySeconds": t[0],
            "renewSeconds": t[0] + t[1],
            "leaseDurationSeconds": t[0] + t[1] + t[2],
        }
    ),
    "log": st.fixed_dictionaries(
        {}, optional={"level": st.sampled_from(["debug", "info", "warning", "error"]), "format": st.just("text")}
    ),
    "gpu": st.fixed_dictionaries(
        {},
        optional={
            "provider": st.sampled_from(["gpu-operator", "gke", "eks", "karpenter", "aks", "custom"]),
            "profile": st.fixed_dictionaries(
                {},
                optional={
                    "productLabel": st.sampled_from(["", "example.com/gpu"]),
                    "migResourceName": st.sampled_from(["", "nvidia.com/gpu", "nvidia.com/mig-{mig}"]),
                    "migValue": st.just("all-{mig}"),
                    "taints": st.lists(st.fixed_dictionaries({"key": NAMES}, optional={"value": NAMES}), max_size=2),
                    "scalesFromZero": st.booleans(),
                    "templateLabels": st.lists(NAMES, max_size=2),
                },
            ),
        },
    ),
    "prometheus": st.fixed_dictionaries(
        {},
        optional={
            "url": st.sampled_from(["", "http://prometheus:9090", "https://thanos.example.com/prefix"]),
            "caConfigMap": st.sampled_from(["", "ca"]),
            "tokenFile": st.sampled_from(["", "/var/run/secrets/kubernetes.io/serviceaccount/token"]),
            "headers": st.dictionaries(
                st.just("X-Scope-OrgID"),
                st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=10),
                max_size=1,
            ),
            "allowQueries": st.booleans(),
        },
    ),
    "workers": st.integers(1, 64),
    "resyncSeconds": st.integers(30, 86400),
    "image": st.fixed_dictionaries({"pullPolicy": st.sampled_from(["Always", "IfNotPresent", "Never"])}),
    "prepare": st.fixed_dictionaries({"imagePullSecrets": st.lists(NAMES.map(lambda name: {"name": name}))}),
}


def written(model: type[Any]) -> set[str]:
    return set(model.model_fields)


def test_the_defaults_are_those_of_the_operator(render: Render) -> None:
    own = Settings(prepareImage="any").model_dump(mode="json")
    found = render().settings
    assert own["leaderElection"].pop("name") == found["leaderElection"].pop("name")
    assert found["leaderElection"].pop("namespace") == "operators"
    own["leaderElection"].pop("namespace")
    own["gpu"]["profile"] = {}  # nothing differs from the provider's
    assert found | {"prepareImage": "any"} == own


def test_every_setting_is_written_so_that_none_depends_on_the_operators_defaults(render: Render) -> None:
    found = render().settings
    assert found.keys() == written(Settings)
    for name in ("watch", "leaderElection", "log", "gpu", "prometheus", "podMonitor"):
        assert found[name].keys() == written(type(getattr(Settings(prepareImage="any"), name)))


@given(values=st.fixed_dictionaries({}, optional=SECTIONS))
@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_all_values_make_settings_that_the_operator_reads_as_they_were_meant(render: Render, values: Object) -> None:
    read = Settings.model_validate(render(values | {"crds": {"install": False}}).settings)
    watch = VALUES["watch"] | values.get("watch", {})
    assert list(read.watch.namespaces) == watch["namespaces"]
    assert read.watch.selector == watch["selector"]
    election = VALUES["leaderElection"] | values.get("leaderElection", {})
    assert {name: getattr(read.leaderElection, name) for name in election} == election
    log = VALUES["log"] | values.get("log", {})
    assert {name: getattr(read.log, name) for name in log} == log
    gpu = VALUES["gpu"] | values.get("gpu", {})
    assert read.gpu.model_dump(mode="json", exclude_unset=True) == gpu
    prometheus = VALUES["prometheus"] | values.get("prometheus", {})
    assert (read.prometheus.url, read.prometheus.headers) == (prometheus["url"], prometheus["headers"])
    assert read.prometheus.allowQueries is prometheus["allowQueries"]
    assert (read.prometheus.tokenFile or "") == prometheus["tokenFile"]
    assert bool(read.prometheus.caFile) == bool(prometheus["caConfigMap"])
    assert read.workers == values.get("workers", VALUES["workers"])
    assert read.resyncSeconds == values.get("resyncSeconds", VALUES["resyncSeconds"])
    secrets = values.get("prepare", VALUES["prepare"])["imagePullSecrets"]
    assert list(read.prepareImagePullSecrets) == [secret["name"] for secret in secrets]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        pytest.param(("workers",), 0, id="workers below"),
        pytest.param(("resyncSeconds",), 86401, id="resync above"),
        pytest.param(("leaderElection", "retrySeconds"), 61, id="retry above"),
        pytest.param(("watch", "namespaces"), ["-a"], id="namespace"),
        pytest.param(("log", "format"), "xml", id="format"),
        pytest.param(("gpu", "provider"), "azure", id="provider"),
        pytest.param(("prometheus", "url"), "prometheus:9090", id="no scheme"),
        pytest.param(("prometheus", "allowQueries"), "no", id="no truth value"),
        pytest.param(("gpu", "profile", "memoryLabel"), "a b", id="label"),
        pytest.param(("gpu", "profile", "gpuLabel"), "a", id="misspelt in the profile"),
        pytest.param(("gpu", "profile", "migValue"), "1g.10gb", id="a value for every slice"),
        pytest.param(("gpu", "profile", "taints"), [{"key": "a", "effect": "Never"}], id="effect"),
    ],
)
def test_what_the_operator_would_refuse_helm_refuses(render: Render, path: tuple[str, ...], value: object) -> None:
    nested: Any = value
    for key in reversed(path):
        nested = {key: nested}
    with pytest.raises(Refused, match=path[-1]):
        render(nested)
