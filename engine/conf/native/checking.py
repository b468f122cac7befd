"""Is what a configuration said allowed in a definition? Is it text at all, or a set of CPUs?"""

from __future__ import annotations

import re

from engine.conf.nodes.node import Flag, Node, Open
from engine.conf.nodes.plan import Field, plan_of
from engine.conf.nodes.values import NoValue
from engine.errors import ConfigError

__all__ = ["MOST_CHARACTERS", "check_characters", "check_definition", "decoded"]

#: How long a configuration may be.
MOST_CHARACTERS = 4 * 1024 * 1024
# what XML can't hold
_NO_TEXT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def decoded(text: str | bytes, source: str | None) -> str:
    """The text, with ``\\n`` at the ends of lines.

    Raises:
        ConfigError: it is no UTF-8, too long, or holds characters that no document can.
    """
    if len(text) > MOST_CHARACTERS:
        raise ConfigError("the configuration is longer than 4 MiB", source=source)
    if isinstance(text, bytes):
        try:
            text = text.decode()
        except UnicodeDecodeError as exc:
            line = exc.object.count(b"\n", 0, exc.start) + 1
            raise ConfigError("the configuration is not in UTF-8", source=source, line=line) from exc
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    check_characters(text, source, 1)
    return text


def check_characters(text: str, source: str | None, line: int) -> None:
    """Of a text that begins at that line.

    Raises:
        ConfigError: it holds characters that no document can.
    """
    wrong = _NO_TEXT.search(text)
    if wrong is not None:
        line += text.count("\n", 0, wrong.start())
        raise ConfigError(f"U+{ord(wrong[0]):04X} is no character of a text", source=source, line=line)


def check_definition(node: Node, source: str | None, line: int | None = None) -> None:
    """Refuses values that their declarations don't allow; nodes tell the line of the setting they were made of.

    Raises:
        ConfigError: of the first.
    """
    line = node.line or line
    for field in plan_of(type(node)).fields:
        held = getattr(node, field.name)
        for each in held if field.many else (held,):
            if isinstance(each, Node):
                check_definition(each, source, line)
            elif each is not None and field.value is not None and field.place not in (Flag, Open):
                _check_value(field, each, source, line)
    for reason in node.check():
        raise ConfigError(reason, source=source, line=line)


def _check_value(field: Field, held: object, source: str | None, line: int | None) -> None:
    assert field.value is not None
    try:
        field.value.read(field.value.write(held))
    except NoValue as exc:
        secret = "passw" in field.tag
        shown = "" if secret else f", not {str(held)[:60]!r}"
        raise ConfigError(f"'{field.tag}' would have to be {exc}{shown}", source=source, line=line) from exc
