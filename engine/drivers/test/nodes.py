"""The domains that ``test:///default`` and ``test:///FILE`` bring.

The file is libvirt's ``<node>`` document (its "Test driver" page): ``<domain>`` elements inline, or
``<domain file='x.xml'/>`` relative to the file, with ``<test:runstate>`` (a virDomainState number, default 1) and
``<test:transient/>`` in the namespace ``http://libvirt.org/schemas/domain/test/1.0``.
"""

from __future__ import annotations

from pathlib import Path

from engine import Discovered
from engine.conf.document import line_of, parse_document, to_text
from engine.conf.domain import parse_domain
from engine.errors import ConfigError

__all__ = ["default_node", "read_node"]

_NAMESPACE = "http://libvirt.org/schemas/domain/test/1.0"
_RUNNING, _PAUSED, _SHUTOFF = 1, 3, 5

# what libvirt's own test:///default holds: name, UUID and sizes are its documented ones
_DEFAULT = """\
<domain type='test'>
  <name>test</name>
  <uuid>6695eb01-f6a4-8304-79aa-97f2502e193f</uuid>
  <memory unit='KiB'>8388608</memory>
  <currentMemory unit='KiB'>2097152</currentMemory>
  <vcpu>2</vcpu>
  <os><type>hvm</type></os>
</domain>"""


def default_node() -> list[Discovered]:
    """One running domain called test."""
    return [Discovered(definition=parse_domain(_DEFAULT), active=True, seed=True)]


def read_node(path: Path) -> list[Discovered]:
    """The domains of a ``<node>`` file. Blocking.

    Raises:
        ConfigError: the file, or one it names, can't be read or makes no sense.
    """
    root = parse_document(_read(path), source=str(path))
    if root.tag != "node":
        raise ConfigError(f"expected <node>, found <{root.tag}>", source=str(path), line=line_of(root))
    found = []
    for element in root.iterfind("domain"):
        if file := element.get("file"):
            source = path.parent / file
            definition = parse_domain(_read(source), source=str(source))
            element = definition.element()
        else:
            definition = parse_domain(to_text(element).strip(), source=str(path))
        state = _run_state(element.findtext(f"{{{_NAMESPACE}}}runstate"), str(path), line_of(element))
        found.append(
            Discovered(
                definition=definition,
                active=state != _SHUTOFF,
                paused=state == _PAUSED,
                persistent=element.find(f"{{{_NAMESPACE}}}transient") is None,
                seed=True,
            )
        )
    return found


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as exc:
        raise ConfigError((exc.strerror or str(exc)).lower(), source=str(path)) from exc


def _run_state(text: str | None, source: str, line: int | None) -> int:
    if text is None:
        return _RUNNING
    if text.strip() not in ("1", "3", "5"):
        raise ConfigError(
            f"<test:runstate> '{text}': a test domain can be 1 (running), 3 (paused) or 5 (shut off)",
            source=source,
            line=line,
        )
    return int(text)
