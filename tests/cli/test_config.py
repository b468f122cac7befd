"""``config`` and ``token``: what the service is told, and whom it knows."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = (sys.executable, "-m", "engine")


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [*PROGRAM, "--state-dir", str(folder / "state"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


def test_a_file_is_checked(tmp_path: Path) -> None:
    file = tmp_path / "virengine.toml"
    file.write_text("[access]\nviewer = ['group:no-such-group', 'user:root']\n")
    ended = run(tmp_path, "config", "check", str(file))
    assert ended.returncode == 0
    assert ended.stdout == f"{file} is right\n"
    assert ended.stderr == f"virengine: warning: {file}: there is no group no-such-group on this host\n"
    file.write_text("[access]\n\nviewers = []\n")
    ended = run(tmp_path, "config", "check", str(file))
    assert ended.returncode == 1
    expected = f"virengine: error: {file}:3: access.viewers: unknown key (did you mean 'viewer'?)\n"
    assert (ended.stdout, ended.stderr) == ("", expected)


def test_the_secret_of_a_webhook_is_looked_at(tmp_path: Path) -> None:
    file, secret = tmp_path / "virengine.toml", tmp_path / "secret"
    file.write_text(f"[[webhook]]\nname = 'a'\nurl = 'https://h.example/'\nsecret-file = '{secret}'\n")
    missing = run(tmp_path, "config", "check", str(file))
    assert (missing.returncode, missing.stdout) == (1, "")
    assert "webhook 'a': the secret can't be read: " in missing.stderr
    secret.write_text("x" * 24)
    secret.chmod(0o600)
    assert run(tmp_path, "config", "check", str(file)).returncode == 0


def test_there_is_none_to_check(tmp_path: Path) -> None:
    ended = run(tmp_path, "config", "check")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "no configuration file" in ended.stdout


def test_tokens_are_made_listed_and_removed(tmp_path: Path) -> None:
    made = run(tmp_path, "token", "add", "ci", "--role", "operator", "--domain", "ci-*", "--days", "1")
    assert made.returncode == 0
    secret = made.stdout.strip()
    assert len(secret) > 40
    file = tmp_path / "state" / "tokens.json"
    assert file.stat().st_mode & 0o777 == 0o600
    assert secret not in file.read_text()
    [told] = json.loads(run(tmp_path, "token", "list", "--json").stdout)
    assert (told["name"], told["role"], told["domains"]) == ("ci", "operator", ["ci-*"])
    assert told["expires"] - told["created"] == pytest.approx(86400, abs=5)
    assert "digest" not in told
    assert "ci-*" in run(tmp_path, "token", "list").stdout
    twice = run(tmp_path, "token", "add", "ci", "--role", "viewer")
    assert (twice.returncode, twice.stderr) == (1, "virengine: error: there is a token 'ci' already\n")
    assert run(tmp_path, "token", "remove", "ci").returncode == 0
    gone = run(tmp_path, "token", "remove", "ci")
    assert (gone.returncode, gone.stderr) == (1, "virengine: error: there is no token 'ci'\n")


def test_tokens_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "tokens.json").write_text("[")
    ended = run(tmp_path, "token", "list")
    assert ended.returncode == 1
    assert "tokens.json: it is not what it should be" in ended.stderr


@pytest.mark.parametrize(
    ("words", "code", "reason"),
    [
        (("", "--role", "viewer"), 1, "needs a name"),
        (("a\nb", "--role", "viewer"), 1, "needs a name"),
        (("x", "--role", "viewer", "--days", "nan"), 2, "not a number of days"),
        (("x", "--role", "viewer", "--days", "1e300"), 2, "not in the range"),
        (("x", "--role", "viewer", "--days", "0"), 2, "not in the range"),
    ],
)
def test_a_token_that_makes_no_sense_is_not_made(tmp_path, words, code, reason):
    ended = run(tmp_path, "token", "add", *words)
    assert ended.returncode == code
    assert reason in ended.stderr
    assert json.loads(run(tmp_path, "token", "list", "--json").stdout) == []
