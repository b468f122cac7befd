# ruff: noqa: PTH109, PTH110, PTH111, PTH112, PTH118 - pathlib takes longer to import than all that is here
"""Where a service and its state are, unless one is told. Nothing heavy is imported here: ``quick`` needs it."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["SYSTEM_SOCKET", "chosen_dirs", "socket_of", "state_dirs", "system_socket"]

#: Where root's service listens, which others may ask for what is the system's.
SYSTEM_SOCKET = "/run/virengine/api.sock"


def state_dirs() -> tuple[str, str | None]:
    """The state and the run-time directory of who does not say: root's under /var/lib and /run, a user's by XDG.

    The second is None where there is no run-time directory: it is inside of the state directory then.
    """
    if os.geteuid() == 0:
        return "/var/lib/virengine", "/run/virengine"
    # relative paths are invalid and to be ignored (XDG Base Directory Specification)
    state, runtime = os.environ.get("XDG_STATE_HOME", ""), os.environ.get("XDG_RUNTIME_DIR", "")
    base = state if state.startswith("/") else os.path.expanduser("~/.local/state")
    # cron and su leave the variable out, and must find the same guests running as everybody else (pam_systemd(8))
    run = runtime if runtime.startswith("/") else f"/run/user/{os.geteuid()}"
    return f"{base}/virengine", f"{run}/virengine" if os.path.isdir(run) else None


def chosen_dirs(state_dir: str | None) -> tuple[str, str | None]:
    """The same with a state directory that was named; the default by its name is the default."""
    state, runtime = state_dirs()
    if state_dir is None:
        return state, runtime
    named = state_dir if state_dir.startswith("/") else os.path.join(os.getcwd(), state_dir)
    named = named.rstrip("/") or "/"
    return (state, runtime) if named == state else (named, None)  # or it would lose sight of the guests that run


def system_socket(uris: Iterable[str]) -> str | None:
    """Whom a user who is not root asks about ``qemu:///system``, as virsh asks the system's daemon; None: nobody."""
    paths = [uri.partition("://")[2].partition("?")[0] for uri in uris]
    if os.geteuid() == 0 or not paths or not all(path == "/system" for path in paths):
        return None
    return SYSTEM_SOCKET if os.path.exists(SYSTEM_SOCKET) else None


def socket_of(state_dir: str, runtime_dir: str | None) -> str:
    """Where the service of a state directory listens, if there is one."""
    return f"{runtime_dir or state_dir}/api.sock"
