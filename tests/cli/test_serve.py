"""``serve``: the engine as a service, run as the program it is."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx2
import pytest
from support.transports import Certificates, free_port

PROGRAM = (sys.executable, "-m", "engine")
DOMAIN = "<domain type='test'><name>web</name><memory>1024</memory><os><type>hvm</type></os></domain>"


@contextlib.contextmanager
def serving(
    folder: Path, *arguments: str, more: Sequence[str] = (), env: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[str]]:
    """The service, from when it listens on. ``more``: of the program's own options."""
    options = ("--state-dir", str(folder / "state"), "--uri", "test:///default", *more)
    command = [*PROGRAM, *options, "serve", *arguments]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **(env or {})}
    ) as service:
        try:
            assert service.stdout is not None
            line = service.stdout.readline()
            assert line.startswith("Listening at "), service.stderr.read() if service.stderr else ""
            yield service
        finally:
            service.kill()


def client(path: Path | str) -> httpx2.Client:
    return httpx2.Client(transport=httpx2.HTTPTransport(uds=str(path)), base_url="http://engine")


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_service_from_begin_to_end(backend: str, tmp_path: Path) -> None:
    env = {"VIRENGINE_BACKEND": backend}
    with serving(tmp_path, "--backend", backend) as service:
        path = tmp_path / "state" / "api.sock"
        assert path.stat().st_mode & 0o777 == 0o600
        with client(path) as http:
            xml = {"content-type": "application/xml"}
            assert http.post("/v1/domains", content=DOMAIN, headers=xml).status_code == 201
            assert http.post("/v1/domains/web/start").json()["state"] == "running"
        service.send_signal(signal.SIGTERM)
        assert service.wait(10) == 0
        assert not path.exists()
    with serving(tmp_path, env=env), client(path) as http:
        assert http.get("/v1/domains/web").json()["state"] == "running"


def test_a_service_that_was_killed_leaves_nothing_in_the_way(tmp_path: Path) -> None:
    with serving(tmp_path) as service:
        service.kill()
        service.wait(10)
    with serving(tmp_path), client(tmp_path / "state" / "api.sock") as http:
        assert http.get("/healthz").status_code == 200


def test_a_second_service_says_who_is_there(tmp_path: Path) -> None:
    with serving(tmp_path, "--listen", f"unix:{tmp_path}/a.sock"):
        second = [*PROGRAM, "--state-dir", str(tmp_path / "other"), "--uri", "test:///default", "serve"]
        ended = subprocess.run(
            [*second, "--listen", f"unix:{tmp_path}/a.sock"], capture_output=True, text=True, timeout=20, check=False
        )
        assert ended.returncode == 5
        assert "somebody listens at" in ended.stderr


def test_sockets_that_systemd_passes_and_what_it_is_told(tmp_path: Path) -> None:
    """As systemd does it: the descriptor is 3, ``LISTEN_PID`` is the service's own."""
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified,
    ):
        path = tmp_path / "passed.sock"
        listening.bind(str(path))
        listening.listen()
        notified.bind(str(tmp_path / "notify"))
        notified.settimeout(10)
        script = 'exec 3<&"$1"; shift; export LISTEN_PID=$$ LISTEN_FDS=1; exec "$@"'
        options = ("--state-dir", str(tmp_path / "state"), "--uri", "test:///default", "serve")
        with subprocess.Popen(
            ["/bin/bash", "-c", script, "sh", str(listening.fileno()), *PROGRAM, *options],
            pass_fds=[listening.fileno()],
            env={**os.environ, "NOTIFY_SOCKET": str(tmp_path / "notify")},
            stdout=subprocess.DEVNULL,
        ) as service:
            try:
                assert b"READY=1" in notified.recv(4096)
                with client(path) as http:
                    assert http.get("/v1/connections").json()[0]["uri"] == "test:///default"
                service.terminate()
                assert b"STOPPING=1" in notified.recv(4096)
                assert service.wait(10) == 0
            finally:
                service.kill()
        assert path.exists()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--listen", "here"], "neither unix:PATH nor tcp:HOST:PORT nor tls:HOST:PORT"),
        (["--listen", "tcp:0.0.0.0:80"], "without TLS only this host itself may connect"),
        (["--listen", "unix:/nowhere/x.sock"], "no such file or directory"),
        (["--viewer", "ada"], "neither user:NAME nor group:NAME"),
    ],
)
def test_what_can_not_be_served_is_told(arguments: list[str], reason: str, tmp_path: Path) -> None:
    command = [*PROGRAM, "--state-dir", str(tmp_path), "--uri", "test:///default", "serve", *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert ended.returncode in (1, 2)
    assert reason in ended.stderr


def test_tcp_takes_nobody_who_does_not_say_who_he_is(tmp_path: Path) -> None:
    port = free_port()
    with serving(tmp_path, "--listen", f"tcp:127.0.0.1:{port}"):
        with httpx2.Client(base_url=f"http://127.0.0.1:{port}") as http:
            assert http.get("/healthz").status_code == 200
            assert http.get("/v1/domains").status_code == 401
            assert http.get("/healthz", headers={"host": "evil.example"}).status_code == 403
            assert http.get("/healthz", headers={"origin": "http://evil.example"}).status_code == 403
        assert json.loads(httpx2.get(f"http://127.0.0.1:{port}/v1/openapi.json").text)["openapi"] == "3.1.0"


def test_the_file_is_read_again_and_nobody_is_cut_off(tmp_path: Path) -> None:
    """First it is wrong, and all stays as it was; then it says more."""
    port = free_port()
    certificates = Certificates(tmp_path)
    base = f"https://127.0.0.1:{port}"
    settings = certificates.settings
    file, sock = tmp_path / "virengine.toml", tmp_path / "state" / "api.sock"
    before = (
        f"listen = ['tls:127.0.0.1:{port}']\n[tls]\ncertificate = '{settings.certificate}'\nkey = '{settings.key}'\n"
    )
    file.write_text(before)

    def status(name: str) -> int:
        with httpx2.Client(verify=certificates.client(name)) as http:
            return http.get(f"{base}/v1/domains").status_code

    with serving(tmp_path, "--config", str(file)) as service, client(sock) as local:
        assert status("ada") == 401
        file.write_text("[access]\nviewers = []\n")
        service.send_signal(signal.SIGHUP)
        assert service.stderr is not None
        wrong = f"{file}:2: access.viewers: unknown key (did you mean 'viewer'?)"
        assert service.stderr.readline() == f"virengine: error: {wrong}: all stays as it was\n"
        assert (status("ada"), local.get("/v1/domains").status_code) == (401, 200)
        assert sock.stat().st_mode & 0o777 == 0o600
        file.write_text(f"{before}client-ca = '{settings.client_ca}'\n[access]\nviewer = ['certificate:ada']\n")
        service.send_signal(signal.SIGHUP)
        assert service.stdout is not None
        assert service.stdout.readline() == "The configuration is read again.\n"
        assert status("ada") == 200
        assert (status("eve"), local.get("/v1/domains").status_code) == (401, 200)
        assert sock.stat().st_mode & 0o777 == 0o666


def test_a_port_that_systemd_passes_is_not_open_to_the_world(tmp_path: Path) -> None:
    with socket.socket() as listening:
        listening.bind(("0.0.0.0", 0))
        listening.listen()
        script = 'exec 3<&"$1"; shift; export LISTEN_PID=$$ LISTEN_FDS=1; exec "$@"'
        options = ("--state-dir", str(tmp_path / "state"), "--uri", "test:///default", "serve")
        ended = subprocess.run(
            ["/bin/bash", "-c", script, "sh", str(listening.fileno()), *PROGRAM, *options],
            pass_fds=[listening.fileno()],
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
    assert ended.returncode == 1
    assert "there is no [tls] for that" in ended.stderr


def test_a_plan_for_one_of_the_connections_leaves_the_others_alone(tmp_path: Path) -> None:
    """The service has two, and the command names one."""
    (tmp_path / "node.xml").write_text(f"<node>{DOMAIN.replace('web', 'other')}</node>")
    options = ("--state-dir", str(tmp_path / "state"))
    other = f"test://{tmp_path}/node.xml"
    with subprocess.Popen(
        [*PROGRAM, *options, "--uri", "test:///default", "--uri", other, "serve"], stdout=subprocess.PIPE, text=True
    ) as service:
        try:
            assert service.stdout is not None
            assert service.stdout.readline().startswith("Listening at ")

            def run(*words: str) -> str:
                return subprocess.run([*PROGRAM, *options, *words], capture_output=True, text=True, check=True).stdout

            assert "other" not in run("--uri", "test:///default", "plan", "down")
            # with one that has no domain there is nothing to stop, rather than everything
            run("destroy", "other")
            run("undefine", "other")
            assert json.loads(run("--uri", other, "plan", "down", "--json"))["steps"] == []
            run("--uri", other, "down")
            run("--uri", other, "down", "--drill")
            assert run("domstate", "test").strip() == "running"
            run("--uri", other, "define", _written(tmp_path, "other"))
            run("start", "other")
            run("autostart", "other")
            run("--uri", "test:///default", "down")
            assert run("domstate", "test").strip() == "shut off"
            assert run("domstate", "other").strip() == "running"
            run("start", "test")
            run("down")
            run("--uri", "test:///default", "up", "--resume", "--autostart")
            assert run("list", "--name") == "test\n"
            run("--uri", other, "up", "--autostart")
            assert run("--uri", other, "list", "--name") == "other\n"
        finally:
            service.terminate()


def _written(folder: Path, name: str) -> str:
    path = folder / f"{name}.xml"
    path.write_text(DOMAIN.replace("web", name))
    return str(path)


def test_units_are_given_the_time_that_the_services_plan_takes(tmp_path: Path) -> None:
    waits = (
        "<metadata><order:order xmlns:order='urn:virengine:order:1'><order:after domain='db'/></order:order></metadata>"
    )
    db = DOMAIN.replace("web", "db")
    with serving(tmp_path), client(tmp_path / "state" / "api.sock") as http:
        for xml in (db, DOMAIN.replace("<os>", f"{waits}<os>")):  # 270 s each by the default ladder
            http.post("/v1/domains", content=xml, headers={"content-type": "application/xml"}).raise_for_status()
        command = [*PROGRAM, "--state-dir", str(tmp_path / "state"), "install-units", "--dir", str(tmp_path / "units")]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert ended.stderr == ""
    assert "TimeoutStopSec=594" in (tmp_path / "units" / "virengine-guests.service").read_text()


def test_who_only_asks_needs_no_server(tmp_path: Path) -> None:
    """With what 'virengine[client]' brings: the rest is as if it were not installed."""
    hide = "import sys; sys.modules.update(starlette=None, hypercorn=None); from engine.cli.main import run; run()"
    command = [sys.executable, "-c", hide, "--state-dir", str(tmp_path / "state")]
    with serving(tmp_path):
        for words in (
            ["list", "--json"],
            ["info", "test"],
            ["define", _written(tmp_path, "web")],
            ["start", "web"],
            ["plan", "down"],
            ["order"],
            ["operations"],
            ["webhooks"],
            ["doctor"],
            ["events"],
            ["down", "--drill"],
            ["down"],
        ):
            ended = subprocess.run([*command, *words], capture_output=True, text=True, timeout=60, check=False)
            assert ended.returncode == 0, (words, ended.stderr)
