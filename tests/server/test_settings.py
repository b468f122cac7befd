"""The configuration file: what it says, and what is said of one that is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.transports import Certificates

from engine.errors import ConfigError
from engine.server.settings import Settings, parse_settings, read_settings

HOOK = "[[webhook]]\nname = 'a'\nurl = 'https://h.example/'\nsecret-file = '/s'\n"
WHOLE = """
listen = ["tls:0.0.0.0:8470", "tcp:[::1]:8471", "unix:/run/x.sock"]

[access]
viewer = ["group:libvirt"]
operator = ["user:ada", "certificate:ci"]
polkit = false

[tls]
certificate = "/etc/virengine/server.pem"
key = "/etc/virengine/server.key"

[limits]
connections = 10
idle-seconds = 1.5
"""


def test_a_whole_file() -> None:
    settings = parse_settings(WHOLE)
    assert [str(address) for address in settings.addresses] == list(settings.listen)
    assert settings.access.rules["operator"] == ("user:ada", "certificate:ci")
    assert not settings.access.polkit
    bounds = settings.limits.bounds()
    assert (bounds.connections, bounds.idle_seconds, bounds.body_seconds) == (10, 1.5, 30.0)


def test_nothing_at_all_is_a_file() -> None:
    assert parse_settings("# nothing\n") == Settings()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[acces]\n", "f.toml:1: acces: unknown key (did you mean 'access'?)"),
        ("\n[access]\nviewers = []\n", "f.toml:3: access.viewers: unknown key (did you mean 'viewer'?)"),
        ("[access]\nviewer = [\n 'user:a',\n 'ada',\n]\n", "f.toml:4: access.viewer[2]: 'ada' is neither user:NAME"),
        ("[limits]\nconnections = 0\n", "f.toml:2: limits.connections: expected 'int' >= 1"),
        ("[limits]\nidle-seconds = '5'\n", "f.toml:2: limits.idle-seconds: expected 'float', got 'str'"),
        ("listen = ['tcp:0.0.0.0:80']\n", "f.toml:1: listen[1]: 'tcp:0.0.0.0:80': without TLS"),
        ("listen = ['tls:0.0.0.0:80']\n", "f.toml:1: listen[1]: 'tls:0.0.0.0:80' needs a certificate"),
        ("[tls]\ncertificate = '/a.pem'\n", "f.toml:1: tls: there has to be 'key'"),
        ("[tls]\ncertificate = 'a.pem'\nkey = '/b'\n", "f.toml:2: tls.certificate: expected 'str' matching regex"),
        (f"{HOOK}\n{HOOK}", "f.toml:6: webhook[2]: webhook 'a': there is another one of that name"),
        (HOOK.replace("https", "ftp"), "f.toml:1: webhook[1]: webhook 'a': the URL is neither of https"),
        (HOOK.replace("/s", "s"), "f.toml:4: webhook[1].secret-file: expected 'str' matching regex"),
        ("listen = [\n", "f.toml:2: not well-formed TOML"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(text: str, told: str) -> None:
    with pytest.raises(ConfigError) as raised:
        parse_settings(text, source="f.toml")
    assert str(raised.value).startswith(told)


def test_files_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="it can't be read: no such file"):
        read_settings(tmp_path / "none.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="it is not UTF-8"):
        read_settings(tmp_path / "bytes.toml")


def test_certificates_that_do_not_fit(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    mine, others = Certificates(tmp_path / "a").settings, Certificates(tmp_path / "b").settings
    assert mine.context().verify_mode.name == "CERT_OPTIONAL"
    text = f"[tls]\ncertificate = '{mine.certificate}'\nkey = '{others.key}'\n"
    with pytest.raises(ConfigError, match=r"server\.pem: no certificate that fits"):
        parse_settings(text).tls_context()
    text = f"[tls]\ncertificate = '{mine.certificate}'\nkey = '{tmp_path}/none.key'\n"
    with pytest.raises(ConfigError, match="no such file or directory"):
        parse_settings(text).tls_context()


def test_more_than_the_file_says() -> None:
    more = parse_settings(WHOLE).with_more(listen=["unix:/run/y.sock"], viewer=["user:eve"])
    assert more.listen[-1] == "unix:/run/y.sock"
    assert more.access.viewer == ("group:libvirt", "user:eve")
    with pytest.raises(ConfigError, match="'eve' is neither"):
        Settings().with_more(viewer=["eve"])
    with pytest.raises(ConfigError, match="needs a certificate"):
        Settings().with_more(listen=["tls:127.0.0.1:80"])
