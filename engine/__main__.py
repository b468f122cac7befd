"""``python -m engine`` is ``virengine``."""

import atexit

from engine.cli import signals

__all__ = ["main"]


def main() -> None:
    """The entry point of the program."""
    signals.end_at_once()  # before the time that the imports take
    atexit.register(signals.ignore)
    from engine.cli.main import run

    run()


if __name__ == "__main__":
    main()
