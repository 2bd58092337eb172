"""The OpenAPI document of one host: what its services say of their routes, and what is true of every route.

A service describes its own answers alone. Which of its routes are offered, what token they need and what the
host answers before a service is reached follow from the routes, so that no description has to repeat it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from importlib.resources import files
from typing import Any, Final

import msgspec
import structlog

from navi_core.authorization import Authorization
from navi_core.contracts.service import HttpRoute, Operation, Service

__all__ = ["DescribedOperation", "OpenApiError", "compose", "described_operations", "route_of"]

log = structlog.get_logger(__name__)

VERBS: Final = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
"""The keys of a path that are operations; the others are for all of them."""

_FILE: Final = "openapi_host.json"
_JSON: Final = "application/json"
_NAME: Final = re.compile(r"\{([^{}]*)\}")
_NOT_IN_A_KEY: Final = re.compile(r"[^A-Za-z0-9._-]")
_LOCAL: Final = "#/components/"


class OpenApiError(Exception):
    """A service's description does not hold together: a bug of the service's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DescribedOperation:
    """One operation of a service's description.

    Parameters
    ----------
    verb
        In capitals.
    template
        The path, with ``{names}``.
    parameters
        Of the path and the operation, references followed.
    content
        As the service describes it.
    """

    verb: str
    template: str
    parameters: Sequence[Mapping[str, Any]]
    content: Mapping[str, Any]

    @property
    def path(self) -> str:
        """A path that the template stands for, made of the parameters' examples."""
        values = {each["name"]: _value(each) for each in self.parameters if each["in"] == "path"}
        lacking = [name for name in _NAME.findall(self.template) if name not in values]
        if lacking:
            raise OpenApiError(f"path '{self.template}': no parameter '{lacking[0]}' is described")
        return _NAME.sub(lambda found: values[found[1]], self.template)


def _value(parameter: Mapping[str, Any]) -> str:
    schema = parameter.get("schema", {})
    choices = schema.get("enum") or ["1" if schema.get("type") == "integer" else "name"]
    return str(parameter.get("example", schema.get("example", choices[0])))


def described_operations(part: Mapping[str, Any]) -> Iterator[DescribedOperation]:
    """Yield every operation of a service's description.

    Raises
    ------
    OpenApiError
        It refers to what is not there.
    """
    for template, item in part.get("paths", {}).items():
        for verb in VERBS:
            if verb in item:
                found = [*item.get("parameters", ()), *item[verb].get("parameters", ())]
                yield DescribedOperation(
                    verb=verb.upper(),
                    template=template,
                    parameters=[resolve(part, each) for each in found],
                    content=item[verb],
                )


def resolve(document: Mapping[str, Any], node: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what an object is, or refers to.

    Raises
    ------
    OpenApiError
        There is no such component.
    """
    while "$ref" in node:
        reference = node["$ref"]
        found: Any = document
        for key in str(reference).removeprefix("#/").split("/"):
            found = found.get(key) if isinstance(found, dict) else None
        if not isinstance(found, dict):
            raise OpenApiError(f"there is no '{reference}'")
        node = found
    return node


def route_of(routes: Iterable[HttpRoute], verb: str, path: str) -> HttpRoute | None:
    """Return the route that a described operation is about; None: there is none that is advertised."""
    for route in routes:
        if not route.fallback and route.verb in (verb, "*") and route.pattern.fullmatch(path):
            return route if route.advertised else None
    return None


def compose(
    services: Iterable[Service], authorization: Authorization, *, version: str = ""
) -> dict[str, Any]:
    """Return the document of a host.

    A service whose description is broken is left out, and the log says so.

    Parameters
    ----------
    services
        Those of the host, in its order; of two that describe one operation the first is reached.
    authorization
        Which operations are offered, and to whom.
    version
        The host's; empty: the installed one.
    """
    host = msgspec.json.decode((files("navi_core") / _FILE).read_bytes(), type=dict[str, Any])
    early: dict[str, list[str]] = host.pop("x-early-answers")
    parameters: dict[str, list[str]] = host.pop("x-parameters")
    components = host.pop("components")
    host["info"]["version"] = version or _installed_version()
    host |= {"tags": [], "paths": {}, "components": components}
    for service in services:
        try:
            part = _with_own_names(service.openapi(), _NOT_IN_A_KEY.sub("_", service.name))
            paths = _offered_paths(service, part, authorization, components, early, parameters)
        except Exception as error:  # a stranger's description must not cost the others theirs
            log.warning("openapi_left_out", service=service.name, error=f"{type(error).__name__}: {error}")
            continue
        if not paths:
            continue
        for template, item in paths.items():
            host["paths"][template] = {**item, **host["paths"].get(template, {})}
        host["tags"].append({"name": service.name, **part.get("x-tag", {})})
        for kind, own in part.get("components", {}).items():
            components.setdefault(kind, {}).update(own)
    if not any(map(authorization.needs_token, Operation)):
        del components["securitySchemes"]
    return host


def _offered_paths(
    service: Service,
    part: Mapping[str, Any],
    authorization: Authorization,
    components: Mapping[str, Any],
    early: Mapping[str, Sequence[str]],
    parameters: Mapping[str, Sequence[str]],
) -> dict[str, Any]:
    """Return the paths of a service that the host offers, with what the host answers by itself."""
    routes = service.http_routes()
    paths: dict[str, Any] = {}
    for each in described_operations(part):
        route = route_of(routes, each.verb, each.path)
        if route is None or (route.operation is Operation.ADMIN and not authorization.allows_admin):
            continue
        item = part["paths"][each.template]
        path = paths.setdefault(
            each.template, {key: value for key, value in item.items() if key not in VERBS}
        )
        needs_token = authorization.needs_token(route.operation)
        statuses = [*early["every"], *early[route.operation]]
        statuses += early["body"] if "requestBody" in each.content else []
        statuses += early[f"{route.operation}_with_token"] if needs_token else []
        answers = _with_early_answers(part, components, each.content["responses"], statuses)
        operation = {"tags": [service.name], **each.content, "responses": answers}
        if more := [{"$ref": f"{_LOCAL}parameters/{name}"} for name in parameters[route.operation]]:
            operation["parameters"] = [*each.content.get("parameters", ()), *more]
        path[each.verb.lower()] = operation | ({"security": [{"bearer": []}]} if needs_token else {})
    return paths


def _installed_version() -> str:
    try:
        return metadata.version("navi-core")
    except metadata.PackageNotFoundError:  # run from a source tree that was never installed
        return "0.0.0"


def _with_own_names(part: dict[str, Any], service: str) -> dict[str, Any]:
    """Put a service's name before those of its components and operations: no two services clash."""

    def renamed(node: Any) -> Any:
        if isinstance(node, list):
            return [renamed(each) for each in node]
        if not isinstance(node, dict):
            return node
        found = {key: renamed(value) for key, value in node.items()}
        reference = found.get("$ref")
        if isinstance(reference, str) and reference.startswith(_LOCAL):
            kind, _, name = reference.removeprefix(_LOCAL).partition("/")
            found["$ref"] = f"{_LOCAL}{kind}/{service}.{name}"
        if isinstance(found.get("operationId"), str):
            found["operationId"] = f"{service}_{found['operationId']}"
        return found

    part = renamed(part)
    for kind, components in part.get("components", {}).items():
        part["components"][kind] = {f"{service}.{name}": value for name, value in components.items()}
    return part


def _with_early_answers(
    part: Mapping[str, Any],
    components: Mapping[str, Any],
    own: Mapping[str, Any],
    statuses: Iterable[str],
) -> dict[str, Any]:
    """Return an operation's answers, and beside them those that come before a service is reached."""
    answers = dict(own)
    for status in statuses:
        early = components["responses"][f"host.{status}"]
        if status not in own:
            answers[status] = {"$ref": f"{_LOCAL}responses/host.{status}"}
            continue
        answer = resolve(part, own[status])
        content = dict(answer.get("content", {}))
        [error] = early["content"].values()
        schema = content.get(_JSON, {}).get("schema")
        if schema is None:
            content[_JSON] = error
        elif resolve(part, schema) != resolve({"components": components}, error["schema"]):
            content[_JSON] = {"schema": {"anyOf": [schema, error["schema"]]}}
        else:
            continue
        answers[status] = {**answer, "content": content}
    return dict(sorted(answers.items()))
