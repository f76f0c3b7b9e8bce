"""`kubectl triton doctor`: whether a cluster has what services need, check by check.

Not for: one service; that is `cli.explain`.
"""

import asyncio
import time
from collections.abc import Sequence

from rich.text import Text

from triton_operator.api.crd import custom_resource_definition
from triton_operator.api.gpu_settings import GpuSettings
from triton_operator.api.names import INFERENCE_SERVICE
from triton_operator.cli import diagnosis, examined
from triton_operator.cli.diagnosis import Check, Mark
from triton_operator.cli.errors import Exit
from triton_operator.cli.gathered import connected
from triton_operator.cli.options import Form
from triton_operator.cli.screen import columns, console, paragraph, print_data
from triton_operator.core.providers import profile_of
from triton_operator.edges.person import Person
from triton_operator.edges.place import Place

COLOURS = {Mark.OK: "green", Mark.WARN: "yellow", Mark.FAIL: "red", Mark.SKIP: "dim"}


def run(place: Place, *, form: Form) -> Exit:
    """Look at a cluster; the exit code is 1 where something is wrong.

    Args:
        place: which, and as seen from which namespace.
        form: what is printed.
    """
    checks = asyncio.run(_run(place))
    if form == Form.TEXT:
        _print(checks)
    else:
        print_data(checks, form)
    return Exit.FAILED if any(check.mark == Mark.FAIL for check in checks) else Exit.DONE


async def _run(place: Place) -> list[Check]:
    async with connected(place) as person:
        version = await person.read("/version")
        where = f"{person.context or 'in the cluster'}, namespace {person.namespace}"
        checks = [
            Check("Cluster", Mark.OK, f"Kubernetes {version.get('gitVersion', '?')} at {person.server} ({where})")
        ]
        served = await person.served(INFERENCE_SERVICE)
        checks.append(diagnosis.crd(await examined.crd_of(person), custom_resource_definition(), served=served))
        return [*checks, *await _rest(person, served=served)]


async def _rest(person: Person, *, served: bool) -> list[Check]:
    denied, operator = await asyncio.gather(examined.denied_to_person(person), examined.installed(person))
    checks = [diagnosis.permissions(denied, namespace=person.namespace), diagnosis.operator(operator.deployments)]
    if operator.deployments:
        checks.append(diagnosis.rights(await examined.denied_to_operator(person, operator.deployments[0])))
    checks.append(diagnosis.leader(operator.lease, readable=operator.lease_readable, now=time.time()))
    settings = operator.settings
    if settings:
        watch = settings.watch
        checks.append(diagnosis.watched(watch.namespaces, watch.selector, namespace=person.namespace))
    listed = await examined.permitted(person.list(INFERENCE_SERVICE, namespace=person.namespace)) if served else None
    services = listed or []
    wanted = any((body["spec"].get("routing") or {}).get("gateway") for body in services)
    has_api = await examined.has_gateway_api(person)
    gateways = await examined.gateways_of(person, services) if has_api else {}
    checks += diagnosis.gateways(gateways, served=has_api, wanted=wanted)
    checks += diagnosis.grpc_stats(await examined.proxies_of(person, gateways))
    url = settings.prometheus.url if settings else None
    checks += diagnosis.prometheus(url, await examined.series(person, url) if url else {})
    nodes = await examined.permitted(person.list(examined.NODE, namespace=None))
    profile = profile_of(settings.gpu if settings else GpuSettings())
    needs_gpus = any((body["spec"].get("gpu") or {}).get("count", 1) for body in services)
    return [*checks, diagnosis.gpus(nodes, profile, wanted=needs_gpus)]


def _print(checks: Sequence[Check]) -> None:
    screen = console()
    width = columns(screen)
    for check in checks:
        words = f"{check.title}: {check.message}"
        text = Text(paragraph(f"{check.mark:<4}  {words}", columns=width, indent=0).replace("\n", "\n      "))
        text.stylize(COLOURS[check.mark], 0, 4)
        screen.print(text)
        if check.remedy:
            screen.print(Text(paragraph(check.remedy, columns=width, indent=6), style="bold"))
