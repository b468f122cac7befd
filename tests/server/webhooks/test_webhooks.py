"""Webhooks against a receiver that answers, fails, hangs, moves away and comes back."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
import trustme
from support.receiver import SECRET, Receiver, Request, receiving
from support.served import DOMAIN

from engine import Engine
from engine.errors import ConfigError, StoreError
from engine.server.listeners import listen, parse_address
from engine.server.serving import serve
from engine.server.webhooks import hook
from engine.server.webhooks.sending import _seconds, signature
from engine.server.webhooks.settings import Webhook, check, read_secret

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hook, "_FIRST", 0.01)
    monkeypatch.setattr(hook, "_LONGEST", 0.02)
    monkeypatch.setattr(hook, "_WRITES", 0.01)


class World:
    def __init__(self, engine: Engine, http: httpx2.AsyncClient) -> None:
        self.engine, self.http = engine, http

    async def define(self, *names: str) -> None:
        for name in names:
            await self.engine.define(DOMAIN.format(name, ""))

    async def state(self) -> dict[str, Any]:
        [found] = (await self.http.get("/v1/webhooks")).json()
        return found

    async def until(self, **wanted: Any) -> dict[str, Any]:
        with anyio.fail_after(15):
            while True:
                found = await self.state()
                if all(found[name] == value for name, value in wanted.items()):
                    return found
                await anyio.sleep(0.005)

    async def cycle(self, *names: str) -> None:
        """Started and destroyed: two events each."""
        for name in names:
            await self.engine.domain(name).start()
            await self.engine.domain(name).destroy()


def settings(folder: Path, receiver: Receiver, **more: Any) -> Webhook:
    secret = folder / "secret"
    secret.write_bytes(SECRET)
    secret.chmod(0o600)
    given = {"type": ("DomainStarted", "DomainStopped"), "secret_file": str(secret), **more}
    return Webhook(name="hook", url=receiver.url, **given)


@asynccontextmanager
async def world(folder: Path, *webhooks: Webhook, **options: Any) -> AsyncIterator[World]:
    (folder / "node.xml").write_text("<node/>")
    options = {"systemd": False, "on_close": "leave", "state_dir": folder / "state", **options}
    async with Engine(f"test://{folder}/node.xml", **options) as engine:
        with listen(parse_address(f"unix:{folder}/api.sock")) as sock:
            async with anyio.create_task_group() as tasks:

                async def run(*, task_status: Any) -> None:
                    await serve(engine, [sock], webhooks=webhooks, task_status=task_status)

                await tasks.start(run)
                transport = httpx2.AsyncHTTPTransport(uds=f"{folder}/api.sock")
                async with httpx2.AsyncClient(transport=transport, base_url="http://engine", timeout=10) as http:
                    yield World(engine, http)
                tasks.cancel_scope.cancel()


def told(requests: list[Request], name: str) -> list[str]:
    """What of a domain, each once: whoever tells at least once may tell twice."""
    return [request.told[1] for request in requests if request.told[0] == name]


async def test_a_signed_cloudevent_for_each_event(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with receiving() as receiver, world(tmp_path, settings(tmp_path, receiver, domain=("web",))) as here:
        await here.define("web", "other")
        await here.cycle("other", "web")
        await receiver.until(lambda: len(receiver.taken) == 2)
        found = await here.until(waiting=0, delivered=2)
    first, second = receiver.taken
    assert [first.told, second.told] == [("web", "started"), ("web", "stopped")]
    assert first.headers["content-type"] == "application/cloudevents+json; charset=utf-8"
    assert first.headers["webhook-id"] == first.event["id"]
    assert first.path == "/hook?token=hush"
    assert first.genuine
    assert second.genuine
    assert (found["state"], found["dead"], found["lag_seconds"]) == ("running", 0, 0)
    assert "hush" not in json.dumps(found) + caplog.text
    assert SECRET.decode() not in caplog.text


def test_the_signature_is_the_standards() -> None:
    """The example of the Standard Webhooks specification's reference libraries."""
    from base64 import b64decode

    secret = b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    found = signature(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert found == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


async def test_a_domain_that_fails_holds_up_no_other_and_keeps_its_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when more of it waits than is held in memory: the rest is fetched from the journal."""
    monkeypatch.setattr(hook, "_HELD", 4)
    failing = True
    async with receiving() as receiver, world(tmp_path, settings(tmp_path, receiver, tries=1000)) as here:
        receiver.answer = lambda request: (500, "") if failing and request.told[0] == "bad" else (204, "")
        await here.define("bad", "good")
        await here.cycle("bad")
        for _ in range(10):
            await here.cycle("bad", "good")
        await receiver.until(lambda: len(told(receiver.taken, "good")) == 20)
        assert told(receiver.taken, "bad") == []
        found = await here.state()
        assert (found["state"], found["failing"], found["last_error"]) == ("failing", 1, "answered 500")
        assert found["lag"] > 20
        failing = False
        await receiver.until(lambda: len(told(receiver.taken, "bad")) == 22)
        await here.until(waiting=0, state="running")
    assert told(receiver.taken, "bad") == ["started", "stopped"] * 11
    assert told(receiver.taken, "good") == ["started", "stopped"] * 10


async def test_nothing_is_lost_while_the_service_or_the_receiver_is_away(tmp_path: Path) -> None:
    async with receiving() as receiver:
        hooked = settings(tmp_path, receiver, tries=1000)
        async with world(tmp_path, hooked) as here:
            await here.define("web", "db")
            await here.cycle("web")
            await receiver.until(lambda: len(receiver.taken) == 2)
            receiver.answer = lambda request: (503, "")
            await here.cycle("web", "db")
            await receiver.until(lambda: len({request.told for request in receiver.asked}) == 3)
        async with world(tmp_path) as here:  # as long as nobody is to be told
            await here.cycle("db")
        receiver.answer = lambda request: (204, "")
        async with world(tmp_path, hooked) as here:
            await here.cycle("web")
            await receiver.until(lambda: len(told(receiver.taken, "db")) == 4 and len(told(receiver.taken, "web")) == 6)
            assert (await here.until(waiting=0))["gaps"] == 0
    for name in ("web", "db"):
        assert told(receiver.taken, name) == ["started", "stopped"] * (len(told(receiver.taken, name)) // 2)
    numbers = [request.event["sequence"] for request in receiver.taken if request.told[0] == "web"]
    assert numbers == sorted(numbers)


async def test_what_is_not_taken_is_a_dead_letter_that_can_be_tried_again(tmp_path: Path) -> None:
    async with receiving() as receiver, world(tmp_path, settings(tmp_path, receiver, tries=3)) as here:
        receiver.answer = lambda request: (400, "") if request.told[1] == "started" else (204, "")
        await here.define("web")
        await here.cycle("web")
        found = await here.until(dead=1, waiting=0)
        assert told(receiver.taken, "web") == ["stopped"]
        [letter] = found["dead_letters"]
        assert (letter["domain"], letter["type"]) == ("web", "org.virengine.domain.started")
        assert (letter["tries"], letter["error"]) == (3, "answered 400")
        assert (await here.http.post("/v1/webhooks/hook/retry")).status_code == 202
        await receiver.until(lambda: len(receiver.asked) == 5)
        await here.until(dead=1)
        receiver.answer = lambda request: (204, "")
        await here.http.post("/v1/webhooks/hook/retry")
        await here.until(dead=0)
        assert told(receiver.taken, "web") == ["stopped", "started"]
        assert (await here.http.post("/v1/webhooks/nobody/retry")).status_code == 404


async def test_a_dead_letter_stays_while_the_journal_can_not_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with receiving() as receiver, world(tmp_path, settings(tmp_path, receiver, tries=1)) as here:
        receiver.answer = lambda request: (400, "") if request.told[1] == "started" else (204, "")
        await here.define("web")
        await here.cycle("web")
        await here.until(dead=1, waiting=0)
        journal, asked = here.engine.bus.journal, anyio.Event()

        async def broken(*args: Any) -> Any:
            asked.set()
            raise StoreError("journal.db", "it is on strike")

        receiver.answer = lambda request: (204, "")
        with monkeypatch.context() as patch:
            patch.setattr(journal, "read", broken)
            await here.http.post("/v1/webhooks/hook/retry")
            await asked.wait()
            assert (await here.state())["dead"] == 1
        assert (await here.state())["missed"] == 0
        await here.http.post("/v1/webhooks/hook/retry")
        await here.until(dead=0, missed=0)
        assert told(receiver.taken, "web") == ["stopped", "started"]


async def test_a_receiver_that_is_gone_is_told_no_more_until_somebody_says_so(tmp_path: Path) -> None:
    async with receiving() as receiver:
        hooked = settings(tmp_path, receiver)
        async with world(tmp_path, hooked) as here:
            receiver.answer = lambda request: (410, "")
            await here.define("web")
            await here.cycle("web")
            assert "410" in (await here.until(state="disabled"))["reason"]
            await here.cycle("web")
        async with world(tmp_path, hooked) as here:
            await here.until(state="disabled")
            assert len(receiver.asked) == 1
            receiver.answer = lambda request: (204, "")
            await here.http.post("/v1/webhooks/hook/retry")
            await receiver.until(lambda: len(receiver.taken) == 4)
            await here.until(state="running", waiting=0)
    assert told(receiver.taken, "web") == ["started", "stopped"] * 2


async def test_a_receiver_that_asks_for_a_pause_gets_it(tmp_path: Path) -> None:
    async with receiving() as receiver, world(tmp_path, settings(tmp_path, receiver)) as here:
        receiver.answer = lambda request: (429, "retry-after: 3000\r\n")
        await here.define("a", "b")
        await here.cycle("a")
        await here.until(failures=1)
        receiver.answer = lambda request: (204, "")
        await here.cycle("b")
        await here.until(waiting=2)
        assert len(receiver.asked) == 1
        await here.http.post("/v1/webhooks/hook/retry")
        await receiver.until(lambda: len(receiver.taken) == 4)


async def test_redirects_are_not_followed_and_silence_has_an_end(tmp_path: Path) -> None:
    async with receiving() as receiver, receiving() as other:
        async with world(tmp_path, settings(tmp_path, receiver, tries=1, timeout=0.1)) as here:
            receiver.answer = lambda request: (307, f"location: {other.url}\r\n") if "1" in request.told[0] else None
            await here.define("web1", "web2")
            await here.cycle("web1", "web2")
            found = await here.until(dead=4)
        assert other.asked == []
    assert {letter["error"] for letter in found["dead_letters"]} == {
        "answered 307, a redirection, which is not followed",
        "no answer within 0.1 s",
    }


async def test_certificates_are_verified(tmp_path: Path) -> None:
    import ssl

    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    async with receiving(context) as receiver:
        strange = settings(tmp_path, receiver, tries=1)
        async with world(tmp_path, strange) as here:
            await here.define("web")
            await here.cycle("web")
            found = await here.until(dead=2)
            assert "certificate verify failed" in found["last_error"]
            assert receiver.asked == []
        async with world(tmp_path, settings(tmp_path, receiver, ca_file=str(tmp_path / "ca.pem"))) as here:
            await here.cycle("web")
            await receiver.until(lambda: len(receiver.taken) == 2)


async def test_what_the_journal_no_longer_has_is_told_as_a_gap(tmp_path: Path) -> None:
    async with receiving() as receiver:
        hooked = settings(tmp_path, receiver)
        async with world(tmp_path, hooked, journal_keep=10) as here:
            await here.define("web")
            await here.cycle("web")
            await receiver.until(lambda: len(receiver.taken) == 2)
        async with world(tmp_path, journal_keep=10) as here:
            for _ in range(40):
                await here.cycle("web")
            await here.engine.bus.journal.flush()
        async with world(tmp_path, hooked, journal_keep=10) as here:
            with anyio.fail_after(15):
                while (found := await here.state())["missed"] == 0:
                    await anyio.sleep(0.01)
            await receiver.until(lambda: ("", "gap") in [request.told for request in receiver.taken])
            assert found["gaps"] == 1
            [gap] = [request for request in receiver.taken if request.told[1] == "gap"]
            assert gap.event["data"]["missed"] == found["missed"]


async def test_other_settings_hold_from_now_on(tmp_path: Path) -> None:
    from engine.server.serving import Service

    async with receiving() as first, receiving() as second, world(tmp_path) as here:
        service = Service(here.engine)
        async with anyio.create_task_group() as tasks:
            await service.webhooks.configure([settings(tmp_path, first)])
            service.webhooks.run_in(tasks)
            await here.define("web")
            await here.cycle("web")
            await first.until(lambda: len(first.taken) == 2)
            await service.webhooks.configure([settings(tmp_path, second)])
            await here.cycle("web")
            await second.until(lambda: len(second.taken) == 2)
            with pytest.raises(ConfigError, match="another one of that name"):
                await service.webhooks.configure([settings(tmp_path, first)] * 2)
            await service.webhooks.configure([])
            assert service.webhooks.states() == []
            tasks.cancel_scope.cancel()
    assert len(first.taken) == 2


async def test_a_secret_that_was_changed_holds_once_it_is_read_anew(tmp_path: Path) -> None:
    from engine.server.serving import Service

    async with receiving() as receiver, world(tmp_path) as here:
        service, hooked = Service(here.engine), settings(tmp_path, receiver)
        async with anyio.create_task_group() as tasks:
            await service.webhooks.configure([hooked])
            service.webhooks.run_in(tasks)
            await here.define("web")
            await here.cycle("web")
            await receiver.until(lambda: len(receiver.taken) == 2)
            (tmp_path / "secret").write_bytes(b"short")
            with pytest.raises(ConfigError, match="has not 24 to 64 bytes"):
                await service.webhooks.configure([hooked])
            (tmp_path / "secret").write_bytes(SECRET[::-1])
            await service.webhooks.configure([hooked])
            await here.cycle("web")
            await receiver.until(lambda: len(receiver.taken) == 4)
            tasks.cancel_scope.cancel()
    assert [request.genuine for request in receiver.taken] == [True, True, False, False]


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("https://user:word@host/", "credentials"),
        ("https://user@host/", "credentials"),
        ("http://host.example/", "neither of https"),
        ("http://127.0.0.1.example/", "neither of https"),
        ("ftp://host/", "neither of https"),
        ("https:///x", "needs a host"),
        ("https://host/#x", "no fragment"),
        ("https://host:x/", "none"),
        ("https://host/a b", "white space"),
    ],
)
def test_urls_that_are_refused(url: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason) as caught:
        check(Webhook(name="x", url=url, secret_file="/x"))
    assert "word" not in str(caught.value)


def test_event_types_that_are_none_are_refused() -> None:
    with pytest.raises(ConfigError, match="no event type 'Nonsense'"):
        check(Webhook(name="x", url="https://host/", secret_file="/x", type=("Nonsense",)))


@pytest.mark.parametrize(
    ("text", "mode", "reason"),
    [
        ("x" * 32, 0o640, "others may read"),
        ("short", 0o600, "not 24 to 64 bytes"),
        ("whsec_&&&", 0o600, "no base64"),
        (None, 0o600, "no such file"),
    ],
)
def test_secrets_that_are_refused(text: str | None, mode: int, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "secret"
    if text is not None:
        path.write_text(text)
        path.chmod(mode)
    with pytest.raises(ConfigError, match=reason) as caught:
        read_secret(Webhook(name="x", url="https://host/", secret_file=str(path)))
    assert text is None or text not in str(caught.value)


def test_a_secret_in_base64(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n")
    (tmp_path / "secret").chmod(0o600)
    assert len(read_secret(Webhook(name="x", url="https://h/", secret_file=str(tmp_path / "secret")))) == 24


@pytest.mark.parametrize(("text", "seconds"), [("5", 5.0), ("999999", 3600.0), ("x", 0.0), ("", 0.0), ("-5", 0.0)])
def test_pauses_that_are_asked_for(text: str, seconds: float) -> None:
    assert _seconds(text) == seconds
    assert 0 < _seconds("Fri, 31 Dec 2999 23:59:59 GMT") == 3600.0
