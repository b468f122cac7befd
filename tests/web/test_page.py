"""The web page in a real browser, before a real service."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
from support.browser import Page, browser
from support.guests import echo_sector
from support.program import PROGRAM
from support.served import DOMAIN
from support.transports import Everywhere, everywhere, free_port

from engine.server.access.tokens import TOKENS, TokenFile

pytestmark = [pytest.mark.anyio, pytest.mark.browser]

ORDER = (
    "<o:order xmlns:o='urn:virengine:order:1'><o:requires domain='db'/><o:ready gate='delay' seconds='0.3'/></o:order>"
)
WEB = DOMAIN.format("web", f"<metadata>{ORDER}</metadata>")
STATE = "document.querySelector('tr[data-domain={}] .state').dataset.state"


class Restarted:
    """The service as a process, which can go away and come back at the same port."""

    def __init__(self, folder: Path, backend: str, uri: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/"
        self._state = folder / "state"
        self.secrets = {
            role: TokenFile(self._state / TOKENS).add(role, role) for role in ("viewer", "operator", "admin")
        }  # type: ignore[arg-type]
        self._env = {**os.environ, "VIRENGINE_BACKEND": backend}
        self._uri = uri
        self._process: subprocess.Popen[str]

    async def start(self) -> None:
        options = ("--uri", self._uri, "--state-dir", str(self._state))
        command = [*PROGRAM, *options, "serve", "--listen", f"tcp:127.0.0.1:{self.port}"]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=self._env)
        assert self._process.stdout is not None
        assert (await anyio.to_thread.run_sync(self._process.stdout.readline)).startswith("Listening at ")

    async def stop(self) -> None:
        self._process.terminate()
        await anyio.to_thread.run_sync(self._process.wait)
        assert self._process.stdout is not None
        self._process.stdout.close()

    async def run(self, *words: str, check: bool = True) -> None:
        await anyio.run_process([*PROGRAM, "--state-dir", str(self._state), *words], check=check)


@contextlib.asynccontextmanager
async def restarted(folder: Path, backend: str, uri: str = "test:///default") -> AsyncIterator[Restarted]:
    service = Restarted(folder, backend, uri)
    await service.start()
    try:
        yield service
    finally:
        with anyio.CancelScope(shield=True):
            await service.run("destroy", "echo", check=False)  # a guest outlives the service, and this one never rests
            await service.stop()


async def enter(page: Page, url: str, secret: str) -> None:
    await page.go(url)
    await page.fill("#token", secret)
    await page.click("Enter")
    await page.until("!!document.querySelector('#filter')")


def of_ours(page: Page, url: str) -> bool:
    """It asked nobody else for anything, and nothing was wrong with it."""
    assert page.complaints == []
    return {each for each in page.asked if not each.startswith((url, "data:", "blob:"))} == set()


async def test_a_day_with_it(tmp_path: Path, anyio_backend_name: str) -> None:
    """Define, start, ready, plan, drill, down; the service goes and comes back."""
    async with restarted(tmp_path, anyio_backend_name) as service, browser() as page:
        await enter(page, service.url, service.secrets["admin"])
        for document in (DOMAIN.format("db", ""), WEB):
            await page.click("Define…")
            await page.fill("#document", "<domain type='test'><name>x</name><memory>1</memory>\n<clok/></domain>")
            await page.click("Define")
            await page.until("document.querySelector('dialog li').textContent.startsWith('line 2: /domain/clok')")
            await page.fill("#document", document)
            await page.click("Define")
            await page.until("!document.querySelector('dialog')")
        await page.until(f"{STATE.format('web')} === 'shut off'")
        await page.click("Start: db")
        await page.until(f"{STATE.format('db')} === 'running'")
        await page.click("Start: web")
        await page.until(f"{STATE.format('web')} === 'running'")
        ready = "document.querySelector('tr[data-domain=web] [data-label=Ready]').textContent"
        await page.until(f"{ready} === 'yes'")

        await page.click("Order")
        await page.until("document.querySelectorAll('.edge.requires').length === 1")
        await page.click("Plan")
        await page.until("document.querySelectorAll('.gantt [role=row]').length === 3")
        await page.click("Drill")
        await page.until("document.querySelector('main [role=status]').textContent.startsWith('Done: 3 of 3')")

        await service.stop()
        await page.until("!document.querySelector('#away').hidden")
        await service.start()
        await page.until("document.querySelector('#away').hidden")

        await page.click("Carry it out")
        await page.click("Stop all")
        await page.until("document.querySelectorAll('[data-step=done]').length === 3")
        await page.click("Events")
        await page.until("document.querySelector('tbody').innerText.includes('plan.finished')")
        told = await page.js("document.querySelector('tbody').innerText")
        assert told.count("plan.finished") == 1
        assert told.index("plan.finished") < told.index("domain.stopped"), "the newest first"
        await page.fill("#type", "plan.")
        await page.until("!document.querySelector('tbody').innerText.includes('domain.stopped')")
        await page.click("Operations")
        await page.until("document.querySelector('tbody').innerText.includes('down')")
        await page.click("Domains")
        await page.until(f"{STATE.format('web')} === 'shut off'")
        await page.click("Undefine: web")
        await page.click("Undefine it")
        await page.until("!document.querySelector('tr[data-domain=web]')")
        page.complaints = [each for each in page.complaints if "ERR_CONNECTION_REFUSED" not in each]
        assert of_ours(page, service.url)


async def test_who_only_looks_sees_no_buttons_and_is_refused(tmp_path: Path) -> None:
    async with everywhere(tmp_path) as server, browser() as page:
        url = f"http://127.0.0.1:{server.tcp}/"
        await enter(page, url, server.secrets["viewer"])
        await page.until("!!document.querySelector('tr[data-domain=test]')")
        for view, buttons in (
            ("Domains", ["Leave", "XML"]),
            ("Plan", ["Leave"]),
            ("Operations", ["Leave", "Look again"]),
        ):
            await page.click(view)
            await page.until(f"document.querySelector('h2').textContent === '{view}'")
            found = await page.js("[...document.querySelectorAll('button')].map((each) => each.textContent)")
            assert sorted(found) == buttons, view
        for path in ("/v1/domains/test/destroy", "/v1/down"):
            headers = "{ 'content-type': 'application/json' }"
            asked = f"fetch('{path}', {{ method: 'POST', body: '{{}}', headers: {headers} }})"
            assert await page.js(f"{asked}.then((answer) => answer.status)") == 403
        await page.click("Leave")
        await page.until("!!document.querySelector('#token')")
        assert of_ours(page, url)


async def test_what_others_have_written_stays_text(tmp_path: Path) -> None:
    evil = "&lt;img src=x onerror=alert(1)&gt;"
    async with everywhere(tmp_path) as server, browser() as page:
        await server.engine.define(DOMAIN.format(evil, f"<title>{evil}</title>"))
        url = f"http://127.0.0.1:{server.tcp}/"
        await enter(page, url, server.secrets["admin"])
        await page.until("document.querySelectorAll('tbody tr').length === 2")
        for view in ("Domains", "Order", "Plan", "Events"):
            await page.click(view)
            await page.until(f"document.querySelector('h2').textContent === '{view}'")
            assert await page.js("document.querySelectorAll('img').length") == 0
        assert of_ours(page, url)


async def defined(server: Everywhere) -> None:
    for number in range(12):
        after = f"<o:after domain='d{number // 2}'/>" if number else ""
        order = f"<o:order xmlns:o='urn:virengine:order:1'>{after}</o:order>"
        await server.engine.define(DOMAIN.format(f"d{number}", f"<metadata>{order}</metadata>"))
    await server.engine.domain("d1").start()


async def test_it_is_for_everybody(tmp_path: Path) -> None:
    """On a small screen, in the dark, by keyboard and by ear."""
    async with everywhere(tmp_path) as server, browser() as page:
        await defined(server)
        url = f"http://127.0.0.1:{server.tcp}/"
        await page.size(360, 740)
        await enter(page, url, server.secrets["admin"])
        for view in ("Domains", "Order", "Plan", "Events", "Operations"):
            await page.click(view)
            await page.until(f"document.querySelector('h2').textContent === '{view}'")
            assert await page.js("document.documentElement.scrollWidth <= innerWidth"), view
            assert await page.nameless() == [], view
            assert await page.js(f"document.title.startsWith('{view}')")
            for scheme in ("light", "dark"):
                await page.scheme(scheme)
                assert await page.js(CONTRAST) == [], f"{view}, {scheme}"
        await page.click("Domains")
        await page.until("!!document.querySelector('tr[data-domain=d2]')")
        # by keys alone: the link to the content comes first, and a dialog gives the focus back
        await page.js("document.activeElement.blur(); document.querySelector('.skip').focus()")
        assert await page.js("document.activeElement.className") == "skip"
        start = "[...document.querySelectorAll('button')].find((each) => each.ariaLabel === 'Start: d2')"
        await page.js(f"{start}.focus()")
        await page.enter()
        await page.until(f"{STATE.format('d2')} === 'running'")
        await page.until("document.activeElement.ariaLabel.endsWith('d2')")
        await page.until("document.querySelector('#said').textContent.startsWith('d2')")
        assert of_ours(page, url)


#: Texts that stand out too little from what is behind them (WCAG 2.2, 1.4.3: 4.5 to 1).
CONTRAST = """(() => {
  const parse = (text) => (text.match(/[\\d.]+/g) || []).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((each) => each / 255)
    .map((each) => (each <= 0.04045 ? each / 12.92 : ((each + 0.055) / 1.055) ** 2.4))
    .reduce((sum, each, index) => sum + each * [0.2126, 0.7152, 0.0722][index], 0);
  const behind = (element) => {
    for (; element; element = element.parentElement) {
      const found = parse(getComputedStyle(element).backgroundColor);
      if (found.length === 3 || found[3] === 1) return found;
    }
    return [255, 255, 255];
  };
  const wrong = new Set();
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!own || !element.checkVisibility() || element.closest(".hidden, #said, svg, noscript")) continue;
    const [a, b] = [light(parse(getComputedStyle(element).color)), light(behind(element))].sort((x, y) => y - x);
    if ((a + 0.05) / (b + 0.05) >= 4.5) continue;
    wrong.add(`${element.tagName} ${element.className} ${element.textContent.slice(0, 30)}`);
  }
  return [...wrong];
})()"""


@pytest.mark.qemu
async def test_at_a_real_guest(tmp_path: Path, anyio_backend_name: str) -> None:
    image = echo_sector(tmp_path / "echo.img")
    document = tmp_path / "echo.xml"
    document.write_text(f"""
<domain type='qemu'><name>echo</name><memory unit='MiB'>8</memory><os><type arch='x86_64' machine='pc'>hvm</type></os>
<devices><disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='{image}'/>
<target dev='vda' bus='virtio'/></disk><console type='pty'/><graphics type='vnc'><listen type='none'/></graphics>
<video><model type='vga'/></video></devices></domain>""")
    async with restarted(tmp_path, anyio_backend_name, "qemu:///session") as service, browser() as page:
        await service.run("define", str(document))
        await enter(page, service.url, service.secrets["operator"])
        await page.click("Start: echo")
        await page.until(f"{STATE.format('echo')} === 'running'")
        await page.click("Console: echo")
        await page.until("document.querySelector('dialog [role=status]').textContent === 'Connected.'")
        heard = "document.querySelector('.xterm-rows').textContent.includes('hello')"
        with anyio.fail_after(20):
            while not await page.js(heard):  # what is typed before the guest listens is lost
                await page.type("hello")
                with contextlib.suppress(AssertionError):
                    await page.until(heard, 0.5)
        await page.click("Close")
        await page.click("Screen: echo")
        await page.until("document.querySelector('dialog [role=status]').textContent === 'Connected.'")
        await page.until("document.querySelector('.screen canvas').width >= 640")
        await page.click("Close")
        await page.click("Pull the plug: echo")
        await page.click("Pull the plug")
        await page.until(f"{STATE.format('echo')} === 'shut off'")
        assert of_ours(page, service.url)


async def test_pages_are_what_they_are(tmp_path: Path) -> None:
    """Their headers, and no way out of their folder."""
    import httpx2

    async with everywhere(tmp_path) as server, httpx2.AsyncClient(base_url=f"http://127.0.0.1:{server.tcp}") as http:
        page = await http.get("/")
        assert "script-src 'self';" in page.headers["content-security-policy"]
        assert page.headers["x-content-type-options"] == "nosniff"
        again = await http.get("/", headers={"if-none-match": page.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        for path in ("/web/../app.py", "/web/%2e%2e/app.py", "/web/vendor/", "/web//etc/passwd", "/web/none.js"):
            assert (await http.get(path)).status_code == 404
        assert (await http.post("/")).status_code == 405


def test_what_is_of_others_is_as_it_was_brought() -> None:
    script: Any = Path(__file__).parents[2] / "scripts" / "vendor.py"
    told = subprocess.run(["python3", str(script), "--check"], capture_output=True, text=True, check=False)
    assert (told.returncode, told.stderr) == (0, "")
