"""``python -m engine`` is ``virengine``."""

from engine.cli.main import run

if __name__ == "__main__":
    run()
