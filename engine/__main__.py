"""``python -m engine`` is ``virengine``."""

import os
import sys

__all__ = ["main"]


def main() -> None:
    """The entry point of the program."""
    from engine.cli import quick

    try:
        quick.list_domains(sys.argv[1:])
    except KeyboardInterrupt:
        from engine.cli import signals

        signals.last_words(signals.SIGNALS[0])
        os._exit(130)
    from engine.cli import signals

    signals.end_at_once()  # before the time that the imports take
    import atexit

    atexit.register(signals.ignore)
    from engine.cli.main import run

    run()


if __name__ == "__main__":
    main()
