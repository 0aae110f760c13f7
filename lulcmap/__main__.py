"""``python -m lulcmap``: the command line."""

from lulcmap.cli import run

if __name__ == "__main__":
    run()
