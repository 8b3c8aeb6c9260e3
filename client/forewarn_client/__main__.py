"""Where the command `forewarn-client` starts: before anything is imported that an extra brings."""

import sys

from forewarn_shell import command_line


def main() -> None:
    """Run the command line and exit with its documented code."""
    sys.exit(command_line.start("forewarn-client", "forewarn_client.cli"))


if __name__ == "__main__":
    main()
