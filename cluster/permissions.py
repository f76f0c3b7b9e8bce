"""Compares what a service account may do with what it did: nothing more may be granted, nothing less.

Not for: making the log; see `audit`.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from cluster.audit import Request

Json = dict[str, Any]


@dataclass(frozen=True, slots=True, order=True)
class Permission:
    """A right that a rule grants.

    Attributes:
        group: API group; empty: the core group.
        resource: With its subresource, such as `pods/log`.
        verb: Such as `list`.
        name: The one object that it is for; empty: all.
    """

    group: str
    resource: str
    verb: str
    name: str = ""

    def covers(self, other: "Permission") -> bool:
        """Whether it grants what another one asks for."""
        return all(
            mine in ("*", theirs)
            for mine, theirs in (
                (self.group, other.group),
                (self.resource, other.resource),
                (self.verb, other.verb),
                (self.name or "*", other.name),
            )
        )

    @property
    def is_wildcard(self) -> bool:
        """Whether it grants what it does not name."""
        return "*" in (self.group, self.resource, self.verb)

    @property
    def is_of_secrets(self) -> bool:
        """Whether it reaches Secrets."""
        return self.group in ("", "*") and self.resource.partition("/")[0] in ("secrets", "*")

    def __str__(self) -> str:
        what = f"{self.resource}.{self.group}" if self.group else self.resource
        return f"{self.verb} {what}{f' {self.name}' if self.name else ''}"


@dataclass(frozen=True, slots=True)
class Comparison:
    """What was granted, and what was done.

    Attributes:
        used: Each permission that was used, and how often.
        unused: Granted, and never used.
        missing: Asked for without a permission of these: refused by RBAC, or let through by somebody else's role.
        wildcards: Granted without being named.
        secrets: Permissions that reach Secrets, and requests that asked for them.
    """

    used: tuple[tuple[Permission, int], ...]
    unused: tuple[Permission, ...]
    missing: tuple[str, ...]
    wildcards: tuple[Permission, ...]
    secrets: tuple[str, ...]

    @property
    def is_minimal(self) -> bool:
        """Whether exactly what is needed is granted."""
        return not (self.unused or self.missing or self.wildcards or self.secrets)

    def __str__(self) -> str:
        lines = [f"{count:7} × {permission}" for permission, count in self.used]
        for title, found in (
            ("unused", self.unused),
            ("missing", self.missing),
            ("wildcards", self.wildcards),
            ("Secrets", self.secrets),
        ):
            lines += [f"{title}: {len(found)}", *(f"          {each}" for each in found)]
        return "\n".join(lines)


def granted(objects: Iterable[Json], *, account: str) -> frozenset[Permission]:
    """Find out what a service account may do.

    Args:
        objects: Roles, ClusterRoles and their bindings; others are passed over.
        account: Name of the service account.
    """
    bodies = list(objects)
    roles = {
        (body["kind"], body["metadata"].get("namespace"), body["metadata"]["name"]): body
        for body in bodies
        if body["kind"] in ("Role", "ClusterRole")
    }
    found: set[Permission] = set()
    for body in bodies:
        if body["kind"] not in ("RoleBinding", "ClusterRoleBinding"):
            continue
        if any(subject["kind"] == "ServiceAccount" and subject["name"] == account for subject in body["subjects"]):
            reference = body["roleRef"]
            namespace = body["metadata"].get("namespace") if reference["kind"] == "Role" else None
            found.update(_of_rules(roles[reference["kind"], namespace, reference["name"]]["rules"]))
    return frozenset(found)


def compare(permissions: Iterable[Permission], made: Iterable[Request]) -> Comparison:
    """Compare what was granted with what was asked for.

    Args:
        permissions: What was granted; see `granted`.
        made: Everything that was asked for.
    """
    known = sorted(permissions)
    used: Counter[Permission] = Counter()
    missing: Counter[str] = Counter()
    secrets = [str(permission) for permission in known if permission.is_of_secrets]
    for request in made:
        if not request.resource:
            if not request.allowed:  # discovery is everybody's
                missing[f"{request.verb} {request.path}"] += 1
            continue
        if request.resource.startswith("secrets"):
            secrets.append(f"{request.verb} {request.path}")
        for asked in _asked(request):
            by = [permission for permission in known if permission.covers(asked)]
            used.update(by)
            if not by or not request.allowed:
                missing[f"{asked} in {request.namespace or 'all namespaces'}"] += 1
    return Comparison(
        used=tuple(sorted(used.items())),
        unused=tuple(permission for permission in known if permission not in used),
        missing=tuple(f"{what} ({count} times)" for what, count in sorted(missing.items())),
        wildcards=tuple(permission for permission in known if permission.is_wildcard),
        secrets=tuple(dict.fromkeys(secrets)),
    )


def _of_rules(rules: Iterable[Json]) -> Iterable[Permission]:
    for rule in rules:
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                for verb in rule["verbs"]:
                    for name in rule.get("resourceNames") or [""]:
                        yield Permission(group, resource, verb, name)


def _asked(request: Request) -> Iterable[Permission]:
    """The permissions that a request needs: an apply that makes the object needs that of making it, too."""
    # Who makes an object is never judged by its name, which the API server does not know in time.
    name = "" if request.verb == "create" else request.name
    yield Permission(request.group, request.resource, request.verb, name)
    if request.verb in ("patch", "update") and request.code == 201:
        yield Permission(request.group, request.resource, "create")
