"""What is only known of a guest that runs, and is no part of its definition."""

from __future__ import annotations

from typing import Any

from engine.conf.defaults.context import Context, change, devices_of
from engine.conf.kinds.domain.document import DomainDocument
from engine.conf.kinds.domain.security import DynamicSecLabel, NoSecLabel, SecLabel, StaticSecLabel

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
    """What is labelled anew at each start, and whether what the guest uses is; not the labels of one run."""
    said = (label for label in definition.seclabels if not _says_nothing(label))
    return change(definition, seclabels=tuple(_label(label, context) for label in said))


def _says_nothing(label: SecLabel) -> bool:
    """Whether it is up to the security driver whether there is a label at all."""
    return isinstance(label, DynamicSecLabel) and label.type_ is None and label.baselabel is None


def _label(label: SecLabel, context: Context) -> SecLabel:
    if isinstance(label, NoSecLabel):
        return change(label, relabel=None)
    if isinstance(label, StaticSecLabel):
        imagelabel = label.imagelabel if context.live else None
        return change(label, relabel=bool(label.relabel), imagelabel=imagelabel)
    kept = {} if context.live else {"label": None, "imagelabel": None}
    return change(label, type_="dynamic", relabel=True, **kept)
