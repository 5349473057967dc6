"""``python -m edgestream``: the command line."""

from edgestream.cli import main

if __name__ == "__main__":
    main()
