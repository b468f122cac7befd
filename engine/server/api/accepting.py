"""In which form an answer is wanted. Source: RFC 9110, section 12.5.1."""

from __future__ import annotations

from engine.server.api.routes import Call

__all__ = ["wants"]


def wants(call: Call, media_type: str) -> bool:
    """Whether this one is named, and is better than JSON, which there is otherwise."""
    weights = dict(map(_weighed, call.request.headers.get("accept", "").split(",")))
    weight = weights.get(media_type, 0.0)
    return weight > weights.get("application/json", 0.0)


def _weighed(text: str) -> tuple[str, float]:
    name, *parameters = (part.strip().lower() for part in text.split(";"))
    for parameter in parameters:
        key, _, value = parameter.partition("=")
        if key.strip() == "q":
            try:
                return name, min(max(float(value), 0.0), 1.0)
            except ValueError:
                return name, 0.0
    return name, 1.0
