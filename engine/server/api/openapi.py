"""The API's description, from its table. Source: the OpenAPI specification 3.1."""

from __future__ import annotations

import http
import re
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec

from engine.server.api.routes import Route
from engine.server.problems import MEDIA_TYPE, ProblemDocument

__all__ = ["describe"]

_REFS = "#/components/schemas/{name}"
#: Answers that any route may give: bad requests, nobody, not enough of a role, other methods, too much, a defect.
_ANY = (400, 413, 415, 431)
#: Over TCP; at the UNIX socket the kernel knows who asks.
_PROOFS = {
    "token": {"type": "http", "scheme": "bearer"},
    "certificate": {"type": "mutualTLS"},
}


def describe(routes: tuple[Route, ...]) -> dict[str, Any]:
    """The OpenAPI document of these."""
    types: list[Any] = [ProblemDocument]
    for route in routes:
        kinds = [kind for content in route.answers.values() for kind in _kinds(content)]
        types += [kind for kind in kinds if not isinstance(kind, str)]
        types += [route.body] if isinstance(route.body, type) else []
    _, components = msgspec.json.schema_components(types, schema_hook=_foreign, ref_template=_REFS)
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {"title": "virengine", "version": version("virengine"), "license": {"name": "Apache-2.0"}},
        "paths": paths,
        "components": {"schemas": components, "securitySchemes": _PROOFS},
    }


def _operation(route: Route) -> dict[str, Any]:
    found: dict[str, Any] = {
        "operationId": route.handler.__name__,
        "summary": route.summary,
        "x-role": route.role or "anybody",
        "security": [*({name: []} for name in _PROOFS), {}] if route.role is not None else [],
        "parameters": [*_path_parameters(route), *_query_parameters(route)],
        "responses": {str(status): _answer(status, content) for status, content in route.answers.items()},
    }
    faults = {*_ANY, *route.faults, *((401, 403) if route.role is not None else ())}
    problem = {MEDIA_TYPE: {"schema": {"$ref": _REFS.format(name="ProblemDocument")}}}
    for status in sorted(faults):
        found["responses"][str(status)] = {"description": http.HTTPStatus(status).phrase, "content": problem}
    if route.body == "xml":
        xml = {"schema": {"type": "string"}}
        found["requestBody"] = {"required": True, "content": {"application/xml": xml, "text/xml": xml}}
    elif route.body is not None:
        required = any(field.required for field in msgspec.structs.fields(route.body))
        found["requestBody"] = {"required": required, "content": {"application/json": {"schema": _schema(route.body)}}}
    return found


def _answer(status: int, content: Any) -> dict[str, Any]:
    described: dict[str, Any] = {"description": http.HTTPStatus(status).phrase}
    for kind in _kinds(content):
        media, schema = (kind, {"type": "string"}) if isinstance(kind, str) else ("application/json", _schema(kind))
        described.setdefault("content", {})[media] = {"schema": schema}
    return described


def _kinds(content: Any) -> tuple[Any, ...]:
    """An answer's types, and media types."""
    if content is None:
        return ()
    return content if isinstance(content, tuple) else (content,)


def _schema(type_: Any) -> dict[str, Any]:
    (schema,), _ = msgspec.json.schema_components([type_], schema_hook=_foreign, ref_template=_REFS)
    return schema


def _foreign(type_: type) -> dict[str, Any]:
    if issubclass(type_, Path):
        return {"type": "string"}
    raise NotImplementedError


def _path_parameters(route: Route) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": _part(route.parts.get(name, ()))}
        for name in re.findall(r"{(\w+)}", route.path)
    ]


def _part(words: tuple[str, ...]) -> dict[str, Any]:
    return {"type": "string", "enum": [*words]} if words else {"type": "string", "minLength": 1}


def _query_parameters(route: Route) -> list[dict[str, Any]]:
    if route.query is None:
        return []
    _, components = msgspec.json.schema_components([route.query], ref_template=_REFS)
    properties = components[route.query.__name__]["properties"]
    return [{"name": name, "in": "query", "required": False, "schema": schema} for name, schema in properties.items()]
