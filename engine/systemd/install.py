"""Put the units where systemd finds them: ``virengine install-units``.

Blocking (a few small files): call these in a thread. What systemd itself must be told (reload) is
``ScopeManager.reload``.
"""

from __future__ import annotations

import contextlib
import math
import os
import re
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Literal

import msgspec

from engine.errors import HostError
from engine.systemd.scope import AUTOSTART_SERVICE, ENGINE_SERVICE, ENGINE_SOCKET, GUESTS_SERVICE, SHUTDOWN_TARGET
from engine.util.files import remove_file, write_atomic

__all__ = [
    "DEFAULT_TIMEOUT",
    "DELAY_DROPIN",
    "POLKIT_ACTIONS",
    "SYSTEM_DIR",
    "TIMEOUT_DROPIN",
    "Action",
    "engine_command",
    "install_polkit",
    "install_units",
    "quote_exec",
    "render_delay",
    "render_timeout",
    "render_units",
    "started_units",
    "uninstall_units",
    "units_dir",
    "wants_service",
    "write_delay",
    "write_timeout",
]

#: Where an administrator's units live (systemd.unit(5)).
SYSTEM_DIR = Path("/etc/systemd/system")
#: Where polkit learns of the actions there are (polkit(8)).
POLKIT_ACTIONS = Path("/usr/share/polkit-1/actions/org.virengine.policy")
TIMEOUT_DROPIN = Path(f"{GUESTS_SERVICE}.d") / "50-virengine-timeout.conf"
#: The same for logind, beside the folder of units.
DELAY_DROPIN = Path("logind.conf.d/50-virengine-delay.conf")
#: Seconds the stop of all guests is given as long as no plan has said better: the default ladder, and some air.
DEFAULT_TIMEOUT = 300.0
#: Seconds the service waits for an engine that still holds the state directory.
_TAKE_OVER = 240
#: Seconds the stop is given at least.
_LEAST_TIMEOUT = 60.0
_MARK = "# Put here by"
_GUESTS = (SHUTDOWN_TARGET, GUESTS_SERVICE, AUTOSTART_SERVICE)
_ENGINE = (ENGINE_SOCKET, ENGINE_SERVICE)


class Action(msgspec.Struct, frozen=True):
    """One thing that was done, or with ``dry_run`` would be.

    Attributes:
        what: ``write`` | ``keep`` (it was right already) | ``link`` | ``remove``.
        path: the file. text: what is in it now.
    """

    what: Literal["write", "keep", "link", "remove"]
    path: Path
    text: str = ""

    def __str__(self) -> str:
        return f"{self.what} {self.path}"


def units_dir(*, user: bool) -> Path:
    """Where units go by default: the system's folder, or the user's own."""
    if not user:
        return SYSTEM_DIR
    base = os.environ.get("XDG_CONFIG_HOME", "")
    return (Path(base) if base.startswith("/") else Path.home() / ".config") / "systemd" / "user"


def engine_command() -> list[str]:
    """How a unit starts this very installation: ``virengine`` beside this Python, else Python and the module."""
    beside = Path(sys.executable).with_name("virengine")
    if os.access(beside, os.X_OK):
        return [str(beside)]
    found = shutil.which("virengine")
    return [found] if found else [sys.executable, "-m", "engine"]


def quote_exec(arguments: Sequence[str]) -> str:
    """Arguments as a line of ``ExecStart=``: every one arrives as it is (systemd.service(5), "Command lines").

    Raises:
        ValueError: a line end or NUL, which no unit file can hold.
    """
    words = []
    for argument in arguments:
        if any(mark in argument for mark in "\n\r\0"):
            raise ValueError(f"{argument!r} can't stand in a unit file")
        text = argument.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
        words.append(text if text and text.isascii() and not set(text) & set(" \t'\"\\;#") else f'"{text}"')
    return " ".join(words)


def render_units(
    command: Sequence[str],
    *,
    start: Sequence[str] = ("up", "--resume"),
    stop: Sequence[str] = ("down", "--insist"),
    state_dir: Path | None = None,
    socket: Path | None = None,
    timeout: float = DEFAULT_TIMEOUT,
    user: bool = False,
) -> dict[str, str]:
    """The text of each unit, by name.

    Args:
        command: program and options that hold for both (``--state-dir``, ``--uri``), the program's path absolute.
        start, stop: the rest of the command that brings guests up and down.
        state_dir: the state directory: the service waits until no other engine holds it.
        socket: where the service listens; None: there is no service, only the units that start and stop guests.
        timeout: seconds their stop is given.
        user: for the user's own service manager.
    """
    lock = ["flock", "--wait", str(_TAKE_OVER), str(state_dir / "lock"), "/bin/true"] if state_dir else ["true"]
    values = {
        "@WAIT@": quote_exec([f"/usr/bin/{lock[0]}", *lock[1:]]),
        "@START@": quote_exec([*command, *start]),
        "@STOP@": quote_exec([*command, *stop]),
        "@SERVE@": quote_exec([*command, "serve"]),
        "@SOCKET@": str(socket).replace("%", "%%"),
        "@SOCKET_MODE@": "0600" if user else "0666",
        # a user's guests may need what a setuid program does for them; and what they can't reach, they can't reach
        "@HARDENING@": "" if user else _text("hardening.conf"),
        "@TIMEOUT@": _seconds(max(timeout, _LEAST_TIMEOUT)),
        "@WANTED_BY@": "default.target" if user else "multi-user.target",
    }
    names = _GUESTS if socket is None else (*_GUESTS, *_ENGINE)
    return {name: re.sub("@[A-Z_]+@", lambda mark: values[mark[0]], _text(name)).rstrip() + "\n" for name in names}


def _text(name: str) -> str:
    return (files("engine.systemd") / "units" / name).read_text("utf-8").rstrip()


def render_timeout(worst_case: float) -> str:
    """The drop-in that gives the guests' stop as long as the plan may take, and a tenth (10 s at least) more.

    Never less than a minute: that is for the program to start, and for a service that hangs.
    """
    return _render_seconds(
        worst_case, f"[Service]\nTimeoutStopSec={_seconds(max(_with_air(worst_case), _LEAST_TIMEOUT))}"
    )


def render_delay(worst_case: float) -> str:
    """The drop-in that has logind wait as long for those who hold an inhibitor, and only as long as they hold it."""
    return _render_seconds(worst_case, f"[Login]\nInhibitDelayMaxSec={_seconds(_with_air(worst_case))}")


def _render_seconds(worst_case: float, setting: str) -> str:
    return f'{_MARK} "virengine doctor --fix": the worst case of the plan is {worst_case:g} s.\n{setting}\n'


def _with_air(seconds: float) -> float:
    return seconds + max(seconds / 10, 10.0)


def install_units(units: Mapping[str, str], folder: Path, *, dry_run: bool = False) -> list[Action]:
    """Write the units into ``folder`` and enable the services; what is right already is left alone.

    Raises:
        HostError: the folder can't be written.
    """
    with _host_errors(folder):
        actions = [_put(folder / name, text, dry_run) for name, text in units.items()]
        for name, text in units.items():
            if wants := re.search("^WantedBy=(.+)$", text, re.MULTILINE):
                actions.append(_link(folder / f"{wants[1]}.wants" / name, folder / name, dry_run))
    return actions


def write_timeout(folder: Path, worst_case: float, *, dry_run: bool = False) -> Action:
    """Write the drop-in of ``render_timeout``.

    Raises:
        HostError: the folder can't be written.
    """
    with _host_errors(folder):
        return _put(folder / TIMEOUT_DROPIN, render_timeout(worst_case), dry_run)


def write_delay(folder: Path, worst_case: float, *, dry_run: bool = False) -> Action:
    """Write the drop-in of ``render_delay`` where logind looks for it: beside the folder of the host's units.

    Raises:
        HostError: it can't be written.
    """
    path = folder.parent / DELAY_DROPIN
    with _host_errors(path.parent):
        return _put(path, render_delay(worst_case), dry_run)


def uninstall_units(folder: Path, *, dry_run: bool = False) -> list[Action]:
    """Take away what ``install_units``, ``write_timeout`` and ``write_delay`` put there; what was not ours stays.

    Raises:
        HostError: the folder can't be written.
    """
    ours = (AUTOSTART_SERVICE, GUESTS_SERVICE, *_ENGINE)
    links = [path / name for path in folder.glob("*.target.wants") for name in ours]
    paths = [*links, folder / TIMEOUT_DROPIN, folder.parent / DELAY_DROPIN, *(folder / name for name in ours)]
    target = folder / SHUTDOWN_TARGET
    if target.is_file() and target.read_text("utf-8", "replace") == render_units([])[SHUTDOWN_TARGET]:
        paths.append(target)
    actions = [Action("remove", path) for path in paths if os.path.lexists(path)]
    with _host_errors(folder):
        for action in actions if not dry_run else ():
            remove_file(action.path)
        if not dry_run:
            with contextlib.suppress(OSError):  # not there, or it holds drop-ins of the administrator's
                (folder / TIMEOUT_DROPIN).parent.rmdir()
    return actions


def wants_service(folder: Path, *, able: bool) -> bool:
    """The service's units are in ``folder``, or nothing is there yet and we are ``able`` to serve."""
    return (folder / ENGINE_SERVICE).exists() or (able and not (folder / GUESTS_SERVICE).exists())


def started_units(*, service: bool) -> list[str]:
    """Those that are to be started once they are installed, in this order."""
    return [*(_ENGINE if service else ()), GUESTS_SERVICE]


def install_polkit(*, remove: bool = False, dry_run: bool = False) -> list[Action]:
    """Tell polkit, where it is, what there is to be allowed; or ``remove`` that.

    Raises:
        HostError: its folder can't be written.
    """
    path = POLKIT_ACTIONS
    with _host_errors(path.parent):
        if not remove:
            return [_put(path, _text(path.name) + "\n", dry_run)] if path.parent.is_dir() else []
        if not path.exists():
            return []
        if not dry_run:
            remove_file(path)
        return [Action("remove", path)]


def _put(path: Path, text: str, dry_run: bool) -> Action:
    with contextlib.suppress(FileNotFoundError):
        if path.read_text("utf-8", "replace") == text:
            return Action("keep", path, text)
    if not dry_run:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, text.encode(), mode=0o644)
    return Action("write", path, text)


def _link(link: Path, target: Path, dry_run: bool) -> Action:
    if os.path.lexists(link) and link.is_symlink() and link.readlink() == target:
        return Action("keep", link)
    if not dry_run:
        link.parent.mkdir(parents=True, exist_ok=True)
        remove_file(link)
        link.symlink_to(target)
    return Action("link", link)


def _seconds(number: float) -> str:
    return str(math.ceil(number)) if math.isfinite(number) else "infinity"


@contextlib.contextmanager
def _host_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        where = exc.filename or folder
        raise HostError(f"units can't be put into {folder}: {where}: {exc.strerror or exc}") from exc
