"""Argo CD as far as it runs Lua of others: health, which actions there are, and what an action makes of an object.

Scripts of argocd-cm, and all actions, get Lua 5.1 with its base, table and package libraries and a harmless os, and no
string or math. Not for: its diff; that is `argo_diff`.
"""

from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import lupa.lua51 as lupa

from triton_operator.api.names import GROUP, INFERENCE_SERVICE

Json = dict[str, Any]

CUSTOMIZATIONS = Path(__file__).parents[2] / "gitops" / "argocd" / "resource_customizations"
OURS = CUSTOMIZATIONS / GROUP / INFERENCE_SERVICE.kind
HEALTH = OURS / "health.lua"
DISCOVERY = OURS / "actions" / "discovery.lua"
STATUSES = {"Healthy", "Progressing", "Suspended", "Degraded", "Missing", "Unknown"}
KEPT_OUT = ("string", "math", "io", "os", "debug", "coroutine", "python")


class ScriptError(Exception):
    """A script has failed, in its own words."""


class Sandbox:
    """One Lua, in which scripts run as Argo CD lets them; each finds only `obj` and what is given to it."""

    def __init__(self) -> None:
        self._lua = lupa.LuaRuntime(register_eval=False, register_builtins=False)
        self._lua.execute('getmetatable("").__index = nil')
        for name in KEPT_OUT:
            self._lua.globals()[name] = None
            self._lua.globals().package.loaded[name] = None
            self._lua.globals().package.preload[name] = None
        self._lua.execute("package.path, package.cpath = '', ''")
        self._own = set(self._lua.globals())

    def run(self, script: str, obj: Json, **given: Json) -> Any:
        """Run a script, and give what it returns, with tables as dicts and lists."""
        for name, value in (given | {"obj": obj}).items():
            self._lua.globals()[name] = self._lua.table_from(value, recursive=True)
        try:
            answer = _compiled(self._lua, script)()
        except lupa.LuaError as error:
            raise ScriptError(str(error)) from error
        finally:
            left = set(self._lua.globals()) - self._own - given.keys() - {"obj"}
            for name in (*left, *given, "obj"):
                self._lua.globals()[name] = None
        assert not left, f"the script has set the globals {left}"
        return _plain(answer)


@cache
def _compiled(lua: lupa.LuaRuntime, script: str) -> Any:
    return lua.compile(script)


def _plain(value: Any) -> Any:
    """Turn tables back; an empty one is a list, as for Argo CD."""
    if lupa.lua_type(value) != "table":
        return value
    items = dict(value)
    if all(isinstance(key, int) for key in items):
        return [_plain(items[key]) for key in sorted(items)]
    return {key: _plain(child) for key, child in items.items()}


def _cleaned(new: Any, old: Any) -> Any:
    """Give empty maps back, which Lua cannot tell from empty lists."""
    if isinstance(new, dict) and isinstance(old, dict):
        return {key: _cleaned(value, old.get(key)) for key, value in new.items()}
    if new == [] and isinstance(old, dict):
        return old
    if isinstance(new, list) and isinstance(old, list):
        return [_cleaned(value, old[i] if i < len(old) else None) for i, value in enumerate(new)]
    return new


SANDBOX = Sandbox()


@cache
def text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def health(body: Json, *, script: str | None = None) -> Json:
    """Say how Argo CD sees an object: status and message."""
    found: Json = SANDBOX.run(script or text(HEALTH), body)
    assert found.keys() == {"status", "message"}
    assert found["status"] in STATUSES
    return found


def offered(body: Json, *, script: str | None = None) -> dict[str, Json]:
    """List the actions for an object, by name."""
    found: dict[str, Json] = SANDBOX.run(script or text(DISCOVERY), body)
    return found


def enabled(body: Json) -> list[str]:
    """List the actions that a person can choose for an object."""
    return sorted(name for name, action in offered(body).items() if not action["disabled"])


def acted(action: str, body: Json, *, script: str | None = None, **parameters: str) -> Json:
    """Give an object as an action leaves it.

    Raises:
        ScriptError: the action cannot be had, in its words.
    """
    script = script or text(OURS / "actions" / action / "action.lua")
    return dict(_cleaned(SANDBOX.run(script, deepcopy(body), actionParams=parameters), body))
