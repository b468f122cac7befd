"""``schemas/`` is what the declarations say, and both validators can run it."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import xmlschema

from engine.conf.kinds.registry import KINDS, definition_classes
from engine.conf.schemas import schema_file, schema_for

ROOT = Path(__file__).resolve().parents[2]


def test_the_schemas_are_up_to_date() -> None:
    spec = importlib.util.spec_from_file_location("schemas", ROOT / "scripts" / "schemas.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    assert script.main(check=True) == 0, "run scripts/schemas.py"


@pytest.mark.parametrize("kind", KINDS)
def test_both_validators_take_every_schema(kind: str) -> None:
    assert {cls.kind for cls in definition_classes(kind)} == {kind}
    assert schema_for(kind) is not None
    assert xmlschema.XMLSchema(str(schema_file(kind))).elements[kind] is not None
