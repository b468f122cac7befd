"""The public names: all there, all documented, and nothing imported that is not needed."""

from __future__ import annotations

import subprocess
import sys

import pytest

import engine
from engine import errors
from engine.events import types


def test_every_public_name_is_there_once_and_sorted() -> None:
    assert len(set(engine.__all__)) == len(engine.__all__)
    for name in engine.__all__:
        assert getattr(engine, name).__doc__, name


def test_the_face_of_documents() -> None:
    from engine import conf

    for name in conf.__all__:
        assert getattr(conf, name) is not None
    text = "<secret ephemeral='no'><description>a</description></secret>"
    definition = conf.parse(text, source="a.xml")
    assert (definition.kind, definition.source) == ("secret", "a.xml")
    assert conf.parse(conf.format(definition)) == definition
    assert conf.validate(text) == []
    assert conf.diff(definition, conf.parse(text)) == []
    with pytest.raises(engine.InvalidDocument) as refused:
        conf.parse("<secret private='x'/>")
    assert [problem.xpath for problem in refused.value.problems] == ["/secret/@private"]


def test_all_errors_and_event_types_are_public() -> None:
    assert set(errors.__all__) <= set(engine.__all__)
    assert set(types.__all__) - {"event_types"} <= set(engine.__all__)
    ours = {name for name, kind in types.event_types().items() if kind.__module__ == types.__name__}
    assert ours <= set(engine.__all__)


@pytest.mark.parametrize(
    "module",
    ["xmlschema", "engine.conf.documents", "rich", "sqlite3", "dbus_next", "trio", "asyncio.subprocess", "ssl"],
)
def test_importing_the_engine_does_not_import(module: str) -> None:
    program = f"import engine, sys; engine.Engine; sys.exit({module!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_one_root_for_all_errors() -> None:
    for name in errors.__all__:
        assert issubclass(getattr(errors, name), errors.EngineError)
