"""What is only known of a guest that runs, and is no part of its definition."""

from __future__ import annotations

from typing import Any

from engine.conf.defaults.context import Context, change, devices_of
from engine.conf.kinds.domain.document import DomainDocument
from engine.conf.kinds.domain.security import DynamicSecLabel

__all__ = ["aliases", "labels"]


def aliases(definition: DomainDocument, context: Context) -> DomainDocument:
    """Names of devices in the hypervisor, but for those that the user gave, which begin with ``ua-``."""
    if context.live or definition.devices is None:
        return definition
    devices = definition.devices
    fields = {name: getattr(devices, name) for name in devices.__struct_fields__ if name not in ("line", "other")}
    changed = {name: _without(value) for name, value in fields.items() if value}
    return change(definition, devices=change(devices_of(definition), **changed))


def _without(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(_without(each) for each in value)
    alias = getattr(value, "alias", None)
    return value if alias is None or alias.name.startswith("ua-") else change(value, alias=None)


def labels(definition: DomainDocument, context: Context) -> DomainDocument:
    """Labels that are made for each start."""
    if context.live:
        return definition
    found = tuple(
        change(label, label=None, imagelabel=None) if isinstance(label, DynamicSecLabel) else change_static(label)
        for label in definition.seclabels
    )
    return change(definition, seclabels=found)


def change_static(label: Any) -> Any:
    return change(label, imagelabel=None) if getattr(label, "imagelabel", None) is not None else label
