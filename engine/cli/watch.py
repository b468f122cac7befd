"""``watch``: a live table on the whole screen."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import termios
import tty
from collections.abc import Callable, Coroutine, Iterator
from typing import TYPE_CHECKING, Any

import click

from engine.cli import output
from engine.cli.session import Session

if TYPE_CHECKING:
    from engine.cli.board import Board

__all__ = ["watch"]

_FRAME, _TICK = 1 / 8, 1.0  # seconds
# xterm(1): the other screen, no cursor; the way back
_ENTER, _LEAVE = "\x1b[?1049h\x1b[?25l\x1b[2J", "\x1b[?25h\x1b[?1049l"


@click.command()
@click.pass_obj
def watch(session: Session) -> None:
    """Show live how domains are, what a plan is about, and what happens.

    On the whole screen, until q or Ctrl-C. With a service it asks that, and goes on with the next one where it is
    started anew; without one it looks at what is kept in the state directory, and stands in nobody's way.
    """
    if not output.fancy():
        raise click.UsageError(
            "'watch' needs a terminal: 'virengine events --follow' prints what happens, 'virengine list' how things are"
        )
    from engine.cli.board import Board
    from engine.cli.watching import from_disk, from_service

    board = Board(session.service or str(session.state_dir))

    async def work() -> None:
        async with session.served() as remote:
            source = from_disk if remote is None else from_service
        await _Screen(board).show(lambda changed: source(session, board, changed))

    session.run_plain(work)


class _Screen:
    """The terminal, while it is ours."""

    def __init__(self, board: Board) -> None:
        import anyio

        self._board = board
        self._changed = anyio.Event()

    def change(self) -> None:
        """Draw anew, soon."""
        self._changed.set()

    async def show(self, source: Callable[[Callable[[], None]], Coroutine[Any, Any, None]]) -> None:
        import anyio

        with _keys() as keys:
            output.draw(_ENTER)
            try:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(self._draw)
                    tasks.start_soon(self._resized)
                    tasks.start_soon(source, self.change)
                    await _until_q(keys)
                    tasks.cancel_scope.cancel()
            finally:
                output.draw(_LEAVE)

    async def _resized(self) -> None:
        import anyio

        with anyio.open_signal_receiver(signal.SIGWINCH) as received:
            async for _ in received:
                self.change()

    async def _draw(self) -> None:
        import anyio

        while True:
            self._changed = anyio.Event()
            size = os.get_terminal_size(sys.stdout.fileno())
            frame = self._board.draw(max(size.columns or 80, 20), max(size.lines or 24, 8))
            # each line is cleared behind its end, and the screen below: nothing flickers
            output.draw("\x1b[H" + frame.replace("\n", "\x1b[K\n") + "\x1b[J")
            await output.drained()
            await anyio.sleep(_FRAME)
            with anyio.move_on_after(_TICK if self._board.moves else None):
                await self._changed.wait()


@contextlib.contextmanager
def _keys() -> Iterator[int | None]:
    """The terminal's keys one by one, not shown; as it was afterwards. None: there is no keyboard."""
    fd = sys.stdin.fileno() if sys.stdin is not None else -1
    if not os.isatty(fd):
        yield None
        return
    before = termios.tcgetattr(fd)
    try:
        tty.setcbreak(fd)
        now: list[Any] = termios.tcgetattr(fd)
        now[6][termios.VSUSP] = b"\0"  # Ctrl-Z would leave the other screen to the shell
        termios.tcsetattr(fd, termios.TCSANOW, now)
        yield fd
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)


async def _until_q(keys: int | None) -> None:
    import anyio

    if keys is None:
        await anyio.sleep_forever()
        return
    while True:
        await anyio.wait_readable(keys)
        pressed = os.read(keys, 64)
        if not pressed or b"q" in pressed.lower():
            return
