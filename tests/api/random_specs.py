"""Random specs within the bounds of the CRD, read from the CRD itself; rules between fields are kept by hand.

Not for: specs that are refused; see `breaches` and `rule_samples`.
"""

import re
from operator import itemgetter
from typing import Any

from hypothesis import strategies as st

from .crd_tree import ROOT, Json

Strategy = st.SearchStrategy[Any]

SPEC: Json = ROOT["properties"]["spec"]
_PATTERN = re.compile(r"^(?:self|string\(self\))\.matches\('(.*)'\)$")
_RESOURCES = st.dictionaries(
    st.sampled_from(["cpu", "memory", "ephemeral-storage"]), st.deferred(lambda: _quantities()), max_size=3
)


def specs() -> Strategy:
    """Make whole specs."""
    return _strategy(SPEC, "spec").map(_consistent)


def _strategy(node: Json, where: str) -> Strategy:
    if where in _BY_HAND:
        return _BY_HAND[where](node, where)
    if "enum" in node:
        return st.sampled_from(node["enum"])
    if node.get("x-kubernetes-int-or-string"):
        return _quantities()
    match node["type"]:
        case "boolean":
            return st.booleans()
        case "integer":
            return st.integers(node["minimum"], node["maximum"])
        case "string":
            return _text(node)
        case "array":
            keys = node.get("x-kubernetes-list-map-keys")
            return st.lists(
                _strategy(node["items"], where + "[]"),
                min_size=node.get("minItems", 0),
                max_size=min(4, node["maxItems"]),
                unique_by=tuple(itemgetter(key) for key in keys) if keys else None,
            )
        case _:
            return _object(node, where)


def _object(node: Json, where: str) -> Strategy:
    if "properties" not in node:
        rule = next(rule["rule"] for rule in node["x-kubernetes-validations"] if "key.matches" in rule["rule"])
        keys = _from_pattern(_unescaped(rule.split("key.matches('", 1)[1].rsplit("')", 1)[0]), 253)
        allowed = keys.filter(lambda key: "kubernetes.io/" not in key and key != "pod-template-hash")
        return st.dictionaries(allowed, _strategy(node["additionalProperties"], where + "{}"), max_size=3)
    required = node.get("required", ())
    children = {name: _strategy(child, f"{where}.{name}") for name, child in node["properties"].items()}
    return st.fixed_dictionaries(
        {name: child for name, child in children.items() if name in required},
        optional={name: child for name, child in children.items() if name not in required},
    )


def _text(node: Json) -> Strategy:
    longest = node["maxLength"]
    for rule in node.get("x-kubernetes-validations", ()):
        if matched := _PATTERN.match(rule["rule"]):
            return _from_pattern(_unescaped(matched[1]), longest).filter(
                lambda text: bool(text) or "minLength" not in node
            )
    return st.text(st.characters(codec="utf-8"), min_size=node.get("minLength", 0), max_size=min(50, longest))


def _from_pattern(pattern: str, longest: int) -> Strategy:
    return st.from_regex(pattern, fullmatch=True).filter(lambda text: len(text) <= longest)


def _unescaped(literal: str) -> str:
    return literal.replace("\\\\", "\0").replace("\\'", "'").replace("\0", "\\")


def _quantities() -> Strategy:
    suffixes = ["", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei", "m"]
    text = st.builds(
        lambda whole, part, suffix: f"{whole}{part}{suffix}",
        st.integers(0, 10**15 - 1),
        st.sampled_from(["", ".5", ".001", ".0"]),
        st.sampled_from(suffixes),
    )
    return st.integers(0, 10**15 - 1) | text


def _one_of_the_optional(node: Json, where: str) -> Strategy:
    fixed = {name: _strategy(node["properties"][name], f"{where}.{name}") for name in node.get("required", ())}
    choices = [
        st.fixed_dictionaries(fixed | {name: _strategy(child, f"{where}.{name}")})
        for name, child in node["properties"].items()
        if name not in fixed
    ]
    return st.one_of(*choices)


def _range(node: Json, where: str) -> Strategy:
    least = node["properties"]["min"]["minimum"]
    decimals = st.decimals(-(10**9), 10**9, places=3).map("{:f}".format)
    bounds = st.lists(st.integers(least, -least) | decimals, min_size=2, max_size=2).map(lambda b: sorted(b, key=float))
    return st.one_of(
        bounds.map(lambda both: {"min": both[0], "max": both[1]}),
        bounds.map(lambda both: {"min": both[0]}),
        bounds.map(lambda both: {"max": both[0]}),
    )


def _metrics(node: Json, where: str) -> Strategy:
    both = {side: _range(node["properties"][side], f"{where}.{side}") for side in ("success", "failure")}
    rest = {name: _strategy(child, f"{where}.{name}") for name, child in node["properties"].items() if name not in both}
    needed = {name: rest.pop(name) for name in node["required"]}
    return st.one_of(
        st.fixed_dictionaries(needed | {"success": both["success"]}, optional={"failure": both["failure"]} | rest),
        st.fixed_dictionaries(needed | {"failure": both["failure"]}, optional=rest),
    )


def _queries(node: Json, where: str) -> Strategy:
    names = ("canary", " stable ", "canaryPods", "stablePods", "namespace", "service", "interval")
    plain = st.text(st.characters(codec="utf-8", exclude_characters="{}"), max_size=9)
    parts = plain | st.sampled_from(names).map("{{%s}}".__mod__)
    return st.lists(parts, max_size=4).map(lambda found: "".join(["up", *found]))


def _variables(node: Json, where: str) -> Strategy:
    name = _strategy(node["properties"]["name"], where + ".name").filter(lambda n: not n.startswith("TRITON_OPERATOR_"))
    return st.one_of(
        st.fixed_dictionaries({"name": name}),
        st.fixed_dictionaries({"name": name, "value": _strategy(node["properties"]["value"], where + ".value")}),
        st.fixed_dictionaries(
            {"name": name, "valueFrom": _strategy(node["properties"]["valueFrom"], where + ".valueFrom")}
        ),
    )


def _tolerations(node: Json, where: str) -> Strategy:
    child = {name: _strategy(below, f"{where}.{name}") for name, below in node["properties"].items()}
    return st.one_of(
        st.fixed_dictionaries({"key": child["key"], "value": child["value"]}, optional={"effect": child["effect"]}),
        st.fixed_dictionaries({"operator": st.just("Exists")}, optional={n: child[n] for n in ("key", "effect")}),
        st.fixed_dictionaries(
            {"key": child["key"], "effect": st.just("NoExecute"), "tolerationSeconds": child["tolerationSeconds"]}
        ),
    )


def _requirements(node: Json, where: str) -> Strategy:
    key = _strategy(node["properties"]["key"], where + ".key")
    value = _strategy(node["properties"]["values"]["items"], where + ".values[]")
    return st.one_of(
        st.fixed_dictionaries(
            {
                "key": key,
                "operator": st.sampled_from(["In", "NotIn"]),
                "values": st.lists(value, min_size=1, max_size=3),
            }
        ),
        st.fixed_dictionaries({"key": key, "operator": st.sampled_from(["Exists", "DoesNotExist"])}),
        st.fixed_dictionaries(
            {
                "key": key,
                "operator": st.sampled_from(["Gt", "Lt"]),
                "values": st.integers(0, 10**18 - 1).map(lambda number: [str(number)]),
            }
        ),
    )


def _resources(node: Json, where: str) -> Strategy:
    extended = st.dictionaries(
        st.sampled_from(["rdma/hca", "example.com/Fpga-1"]), st.integers(0, 10**15 - 1), max_size=2
    )
    only = st.one_of(st.fixed_dictionaries({"requests": _RESOURCES}), st.fixed_dictionaries({"limits": _RESOURCES}))
    equal = st.builds(lambda plain, more: {"requests": plain | more, "limits": plain | more}, _RESOURCES, extended)
    return only | equal


def _uris(node: Json, where: str) -> Strategy:
    name = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(\.[a-z0-9])?", fullmatch=True)
    part = st.from_regex(r"[A-Za-z0-9._-]{1,40}", fullmatch=True).filter(lambda text: text not in (".", ".."))
    path = st.lists(part, max_size=4).map("/".join)
    return st.builds("configmap://{}".format, name) | st.builds("pvc://{}/{}".format, name, path)


def _models(node: Json, where: str) -> Strategy:
    field = {name: _strategy(below, f"{where}.{name}") for name, below in node["properties"].items()}
    size = st.integers(1, 999).map("{}Gi".format)
    scratch = st.fixed_dictionaries({"size": size}, optional={"storageClassName": st.just("fast")})
    dependency = st.fixed_dictionaries(
        {"name": st.from_regex(r"[a-z]{1,9}", fullmatch=True), "uri": field["uri"]},
        optional={"version": st.integers(1, 2**53 - 1), "instanceKind": st.sampled_from(["KIND_CPU", "KIND_GPU"])},
    )
    apart = st.fixed_dictionaries(
        {"name": st.from_regex(r"_[A-Za-z0-9_.-]{0,99}", fullmatch=True), "uri": st.just("s3://bucket/models/m")},
        optional={
            "version": field["version"],
            "credentials": st.just({"secretName": "keys"}),
            "dependencies": st.lists(dependency, max_size=3, unique_by=lambda d: d["name"]),
            "scratch": scratch,
        },
    )
    plain = st.fixed_dictionaries(
        {"name": field["name"], "uri": field["uri"]}, optional={"version": field["version"], "scratch": scratch}
    )
    return plain | apart


def _not_zero(node: Json, where: str) -> Strategy:
    return st.integers(node["minimum"], node["maximum"]).filter(bool)


def _gpus(node: Json, where: str) -> Strategy:
    child = {name: _strategy(below, f"{where}.{name}") for name, below in node["properties"].items()}
    spot = {name: child[name] for name in ("spot", "nodePool")}
    whole = {name: child[name] for name in ("products", "minMemory")}
    one = st.just(1)
    return st.one_of(
        st.fixed_dictionaries({"count": st.just(0)}, optional={"spot": st.just("Forbid"), "sharing": st.just("None")}),
        st.fixed_dictionaries(
            {"count": st.integers(1, 64)}, optional=whole | spot | {"resourceName": child["resourceName"]}
        ),
        st.fixed_dictionaries({"mig": child["mig"]}, optional=spot | {"count": one}),
        st.fixed_dictionaries(
            {"sharing": st.sampled_from(["TimeSlicing", "MPS"])}, optional=whole | spot | {"count": one}
        ),
    )


def _label_values(node: Json, where: str) -> Strategy:
    return st.lists(_text(node["items"]).filter(bool), min_size=1, max_size=3, unique=True).map(sorted)


def _mount_paths(node: Json, where: str) -> Strategy:
    reserved = ("models", "source", "dev", "tmp", "proc", "sys")
    part = st.text(st.characters(codec="utf-8", exclude_characters="/:", min_codepoint=33), min_size=1, max_size=20)
    allowed = part.filter(lambda text: text not in (".", "..", "\x7f") and text not in reserved and "\x7f" not in text)
    joined = st.lists(allowed, min_size=1, max_size=4).map("/".join)
    return joined.map(lambda path: f"/{path}") if where.endswith("mountPath") else joined


_TERMS = "nodeSelectorTerms[].matchExpressions[]"
_AFFINITY = "spec.runtime.nodeAffinity"


def _steps(node: Json, where: str) -> Strategy:
    pauses = st.fixed_dictionaries(
        {"pause": st.fixed_dictionaries({}, optional={"durationSeconds": st.integers(1, 60)})}
    )
    weights = st.lists(st.integers(1, 100), min_size=1, max_size=4, unique=True).map(sorted)

    def with_pauses(chosen: list[int], pause: Json) -> list[Json]:
        return [
            step for weight in chosen for step in ({"setWeight": weight}, pause) if weight < 100 or "setWeight" in step
        ]

    return st.builds(with_pauses, weights, pauses)


def _scaling_metrics(node: Json, where: str) -> Strategy:
    field = {name: _strategy(child, f"{where}[].{name}") for name, child in node["items"]["properties"].items()}
    target = st.integers(1, 100) | st.decimals("0.001", 100, places=3).map("{:f}".format)
    plain = st.fixed_dictionaries(
        {"type": field["type"].filter(lambda kind: kind != "prometheus"), "target": target},
        optional={"name": field["name"]},
    )
    own = st.fixed_dictionaries(
        {"type": st.just("prometheus"), "target": target, "query": field["query"]},
        optional={name: field[name] for name in ("name", "metricType")},
    )
    return st.lists(plain | own, min_size=1, max_size=4, unique_by=lambda m: (m["type"], m.get("name")))


def _schedules(node: Json, where: str) -> Strategy:
    field = {name: _strategy(child, f"{where}[].{name}") for name, child in node["items"]["properties"].items()}
    days = st.lists(st.sampled_from(node["items"]["properties"]["days"]["items"]["enum"]), min_size=1, unique=True)
    zone = st.sampled_from(["UTC", "Asia/Kathmandu", "America/Argentina/Buenos_Aires"])
    bounds = st.fixed_dictionaries({"minReplicas": st.just(1)}, optional={"maxReplicas": field["maxReplicas"]})
    hours = st.fixed_dictionaries(
        {}, optional={"days": days, "from": field["from"], "to": field["to"], "timeZone": zone}
    )
    of_a_day = hours.filter(lambda h: h.get("from", "00:00") not in (h.get("to", "24:00"), "24:00"))
    return st.lists(
        st.builds(lambda name, bound, when: {"name": name} | bound | when, field["name"], bounds, of_a_day),
        min_size=1,
        max_size=4,
        unique_by=itemgetter("name"),
    )


_BY_HAND = {
    "spec.autoscaling.metrics": _scaling_metrics,
    "spec.autoscaling.metrics[].query": lambda node, where: st.sampled_from(
        ["up", 'up{pod=~"{{pods}}"}', "{{ service }}"]
    ),
    "spec.autoscaling.schedules": _schedules,
    "spec.rollout.steps": _steps,
    "spec.model": _models,
    "spec.model.uri": _uris,
    "spec.gpu": _gpus,
    "spec.gpu.products": _label_values,
    "spec.gpu.nodePool": lambda node, where: _text(node).filter(bool),
    "spec.gpu.resourceName": lambda node, where: st.sampled_from(["nvidia.com/gpu", "amd.com/gpu", "a.b/C_d-9"]),
    "spec.runtime.args[]": lambda node, where: _text(node).filter(lambda text: not text.startswith("--")),
    "spec.runtime.sharedMemory": lambda node, where: st.integers(1, 999).map("{}Mi".format),
    "spec.runtime.resources": _resources,
    "spec.runtime.env[]": _variables,
    "spec.runtime.env[].valueFrom": _one_of_the_optional,
    "spec.runtime.volumes[]": _one_of_the_optional,
    "spec.runtime.volumes[].emptyDir.sizeLimit": lambda node, where: st.integers(1, 999).map("{}Mi".format),
    "spec.runtime.volumeMounts[].mountPath": _mount_paths,
    "spec.runtime.volumeMounts[].subPath": _mount_paths,
    "spec.runtime.tolerations[]": _tolerations,
    "spec.rollout.analysis.metrics[]": _metrics,
    "spec.rollout.analysis.metrics[].query": _queries,
    f"{_AFFINITY}.requiredDuringSchedulingIgnoredDuringExecution.{_TERMS}": _requirements,
    f"{_AFFINITY}.preferredDuringSchedulingIgnoredDuringExecution[].preference.matchExpressions[]": _requirements,
    "spec.runtime.securityContext.runAsUser": _not_zero,
    "spec.runtime.securityContext.fsGroup": _not_zero,
}


def _consistent(spec: Json) -> Json:
    """Let fields fit together: mounts name volumes that are there, a canary has a Gateway, and so on."""
    runtime = spec.get("runtime", {})
    if spec.get("gpu", {}).get("sharing") == "MPS":
        runtime.pop("sharedMemory", None)
    if (scaling := spec.get("autoscaling")) is not None:
        if scaling.get("minReplicas", 1) > scaling["maxReplicas"]:
            scaling["minReplicas"] = scaling["maxReplicas"]
        if not {"objective", "metrics", "schedules"} & scaling.keys():
            scaling["objective"] = {"latencyMilliseconds": 100}
    rollout = spec.get("rollout", {})
    strategy = rollout.get("strategy", "RollingUpdate")
    if strategy == "Canary":
        spec.setdefault("routing", {})["gateway"] = {"parentRefs": [{"name": "inference"}]}
    surge, count = rollout.get("maxSurgeGPUs", 0), spec.get("gpu", {}).get("count", 1)
    if count == 0 or strategy not in ("RollingUpdate", "Canary") or (strategy == "Canary" and surge < count):
        rollout.pop("maxSurgeGPUs", None)
    if strategy != "RollingUpdate":
        rollout.pop("minAvailable", None)
    if strategy != "Canary":
        for name in ("steps", "analysis", "autoRollback", "dynamicStableScale"):
            rollout.pop(name, None)
    for bounds in (rollout.get("analysis", {}).get(name, {}) for name in ("errors", "slowRequests")):
        if bounds.get("passRatioPercent", 200) <= bounds.get("failRatioPercent", 125):
            bounds.pop("passRatioPercent", None)
            bounds.pop("failRatioPercent", None)
    gateway = spec.get("routing", {}).get("gateway", {})
    if gateway.get("grpc") != "GRPCRoute":
        gateway.pop("grpcHostnames", None)
    if rollout.get("strategy") != "BlueGreen":
        rollout.pop("scaleDownDelaySeconds", None)
    volumes = [v for v in runtime.get("volumes", []) if v["name"] not in ("models", "source", "shm", "tmp")]
    if "volumes" in runtime:
        runtime["volumes"] = volumes
    mounts = runtime.pop("volumeMounts", [])
    if volumes:
        runtime["volumeMounts"] = [m | {"name": volumes[i % len(volumes)]["name"]} for i, m in enumerate(mounts)]
    return spec
