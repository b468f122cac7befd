"""A real browser: Chromium without a screen, driven over a pipe. Source: the Chrome DevTools Protocol."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator
from itertools import count
from typing import Any

import anyio
import anyio.to_thread

__all__ = ["Page", "browser", "browser_unavailable"]

_FLAGS = (
    "--headless=new",
    "--no-sandbox",  # root has none
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--remote-debugging-pipe",
)


def browser_unavailable() -> str | None:
    """Why there can be no browser here, or None."""
    return None if shutil.which("chromium") else "chromium is not installed: make setup, on a Debian with apt"


class Page:
    """One tab.

    Attributes:
        asked: the URLs that it asked for. complaints: what the browser had to say against the page.
    """

    def __init__(self, read: int, write: int) -> None:
        self._read, self._write = read, write
        self._numbers = count(1)
        self._answers: dict[int, dict[str, Any]] = {}
        self._came = anyio.Event()
        self._session = ""
        self.asked: list[str] = []
        self.complaints: list[str] = []

    async def run(self) -> None:
        data = b""
        while True:
            await anyio.wait_readable(self._read)
            got = os.read(self._read, 1 << 20)
            if not got:
                return
            *messages, data = (data + got).split(b"\0")
            for message in messages:
                self._take(json.loads(message))

    def _take(self, message: dict[str, Any]) -> None:
        facts = message.get("params", {})
        match message.get("method"):
            case "Network.requestWillBeSent":
                self.asked.append(facts["request"]["url"])
            case "Runtime.exceptionThrown":
                details = facts["exceptionDetails"]
                self.complaints.append(details.get("exception", {}).get("description") or details["text"])
            case "Log.entryAdded" if facts["entry"]["source"] not in ("network",):
                self.complaints.append(facts["entry"]["text"])
        if "id" in message:
            self._answers[message["id"]] = message
            self._came.set()
            self._came = anyio.Event()

    async def send(self, method: str, **params: Any) -> dict[str, Any]:
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        left = memoryview(json.dumps(message).encode() + b"\0")
        while left:
            await anyio.wait_writable(self._write)
            left = left[os.write(self._write, left[:65536]) :]
        with anyio.fail_after(30):
            while number not in self._answers:
                await self._came.wait()
        answer = self._answers.pop(number)
        assert "error" not in answer, f"{method}: {answer['error']}"
        result: dict[str, Any] = answer["result"]
        return result

    async def begin(self) -> None:
        target = await self.send("Target.createTarget", url="about:blank")
        attached = await self.send("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network", "Accessibility"):
            await self.send(f"{domain}.enable")

    async def go(self, url: str) -> None:
        await self.send("Page.navigate", url=url)

    async def js(self, expression: str) -> Any:
        """What an expression comes to, promises waited for."""
        told = await self.send("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in told, told["exceptionDetails"]
        return told["result"].get("value")

    async def until(self, condition: str, seconds: float = 15.0) -> None:
        """Until it is true in the page, which looks whenever it has time."""
        look = "new Promise((yes) => { const look = () => { let is = false; try { is = " + condition
        look += "; } catch { is = false; } if (is) yes(true); else setTimeout(look, 20); }; look(); })"
        try:
            with anyio.fail_after(seconds):
                while not await self._stays(look):
                    pass
        except TimeoutError:
            raise AssertionError(f"{condition}\n{await self.js('document.body.innerText')}") from None

    async def _stays(self, look: str) -> bool:
        """The page was not left for another one meanwhile."""
        try:
            await self.js(look)
        except AssertionError as exc:
            if "navigated" in str(exc) or "context was destroyed" in str(exc):
                return False
            raise
        return True

    async def click(self, name: str) -> None:
        """The button or link of that accessible name, as soon as it is there."""
        named = f"each.checkVisibility() && (each.ariaLabel || each.textContent) === {json.dumps(name)}"
        found = f"[...document.querySelectorAll('button, a')].filter((each) => {named}).pop()"
        await self.until(f"!!{found}")
        await self.js(f"{found}.click()")

    async def fill(self, selector: str, text: str) -> None:
        await self.until(f"!!document.querySelector({json.dumps(selector)})")
        await self.js(
            f"{{ const field = document.querySelector({json.dumps(selector)}); field.focus(); "
            f"field.value = {json.dumps(text)}; field.dispatchEvent(new Event('input', {{ bubbles: true }})); "
            "field.dispatchEvent(new Event('change', { bubbles: true })); }"
        )

    async def type(self, text: str) -> None:
        for sign in text:
            await self.send("Input.dispatchKeyEvent", type="char", text=sign)

    async def enter(self) -> None:
        """Press the key of that name."""
        key = {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13}
        await self.send("Input.dispatchKeyEvent", type="keyDown", text="\r", **key)
        await self.send("Input.dispatchKeyEvent", type="keyUp", **key)

    async def size(self, width: int, height: int) -> None:
        await self.send(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False
        )

    async def scheme(self, name: str) -> None:
        await self.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": name}])

    async def nameless(self) -> list[str]:
        """What can be used and has no name, as a screen reader has it."""
        told = await self.send("Accessibility.getFullAXTree")
        roles = {"button", "link", "textbox", "searchbox", "combobox", "checkbox", "table", "dialog", "image", "img"}
        return [
            node["role"]["value"]
            for node in told["nodes"]
            if not node.get("ignored")
            and node.get("role", {}).get("value") in roles
            and not node.get("name", {}).get("value", "").strip()
        ]

    async def picture(self, path: Any) -> None:
        """For whoever writes the page."""
        import base64

        told = await self.send("Page.captureScreenshot", format="png")
        with open(path, "wb") as file:
            file.write(base64.b64decode(told["data"]))


@contextlib.asynccontextmanager
async def browser() -> AsyncIterator[Page]:
    """A browser of its own, that knows nothing of any other."""
    to_read, to_write = os.pipe(), os.pipe()
    for fd in (to_read[0], to_write[1]):
        os.set_blocking(fd, False)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        script = 'exec 3<&"$1" 4>&"$2"; shift 2; exec "$@"'
        command = [shutil.which("chromium") or "chromium", *_FLAGS, f"--user-data-dir={folder}"]
        process = subprocess.Popen(
            ["/bin/bash", "-c", script, "sh", str(to_write[0]), str(to_read[1]), *command],
            pass_fds=[to_write[0], to_read[1]],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(to_write[0])
        os.close(to_read[1])
        page = Page(to_read[0], to_write[1])
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(page.run)
                await page.begin()
                yield page
                tasks.cancel_scope.cancel()
        finally:
            os.killpg(process.pid, 9)
            process.wait()
            os.close(to_read[0])
            os.close(to_write[1])
