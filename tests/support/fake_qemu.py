"""A QEMU that misbehaves to order: an executable that speaks just enough QMP to be started, and then does as told."""

from __future__ import annotations

import sys
from pathlib import Path

__all__ = ["fake_qemu"]

_PROGRAM = '''\
#!{python} -SE
import json, os, re, signal, socket, sys, time

FOLDER = {folder!r}
with open(FOLDER + "/fake.pids", "a") as file:
    print(os.getpid(), file=file)
fd = next(int(m[1]) for word in sys.argv if (m := re.match("socket,id=monitor,fd=([0-9]+)", word)))
diary = next(m[1] for word in sys.argv if (m := re.match("pipe,id=events,path=(.*)", word))) + ".out"
listener = socket.socket(fileno=fd)
connection = None
GREETING = b'{{"QMP": {{"version": {{"qemu": {{"micro": 0, "minor": 2, "major": 7}}}}, "capabilities": []}}}}\\r\\n'
ANSWERS = {{"query-status": {{"status": "running", "running": True}}, "query-chardev": [], "query-migrate": {{}}}}
ARGUMENTS = {{}}  # of the command that is being answered

def say(data):
    try:
        connection.sendall(data if isinstance(data, bytes) else json.dumps(data).encode() + b"\\r\\n")
    except BrokenPipeError:
        pass  # whoever asked had enough

def event(name, **data):
    text = json.dumps({{"event": name, "data": data, "timestamp": {{"seconds": 1, "microseconds": 0}}}})
    with open(diary, "a") as file:
        print(text, file=file)
    say(text.encode() + b"\\r\\n")

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def hang():
    while True:
        time.sleep(1000)

def accept():
    global connection
    connection, _ = listener.accept()

def serve():
    """Answer commands until the connection ends, and then those of the next connection."""
    while True:
        for line in connection.makefile("rb"):
            asked = json.loads(line)
            name = asked["execute"]
            ARGUMENTS.clear()
            ARGUMENTS.update(asked.get("arguments") or {{}})
            answer(name, asked["id"])
        accept()
        say(GREETING)

def answer(name, number):
    special(name)
    say({{"return": ANSWERS.get(name, {{}}), "id": number}})
    if name == "cont":
        event("RESUME")
    if name == "stop":
        event("STOP")

def special(name):
    pass

def error(text):
    print(text, file=sys.stderr)

{behaviour}
accept()
say(GREETING)
serve()
'''


def fake_qemu(folder: Path, behaviour: str = "") -> Path:
    """Writes the program; ``behaviour`` is Python that runs before it accepts, and may define ``special(name)``, which
    runs before each answer. Its process ids are in ``fake.pids``."""
    path = folder / "fake-qemu"
    path.write_text(_PROGRAM.format(python=sys.executable, folder=str(folder), behaviour=behaviour))
    path.chmod(0o755)
    return path


def pids(folder: Path) -> list[int]:
    """Of all that were started."""
    path = folder / "fake.pids"
    return [int(line) for line in path.read_text().split()] if path.exists() else []
