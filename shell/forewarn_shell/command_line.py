"""One way in for the three commands: errors become one line on stderr and the documented exit code."""

import importlib
from collections.abc import Sequence
from contextlib import suppress

import typer

from forewarn_protocol.errors import ForewarnError

EXIT_DONE, EXIT_NO, EXIT_BAD_INPUT, EXIT_MISSING = 0, 1, 2, 3


def start(name: str, module: str, arguments: Sequence[str] | None = None) -> int:
    """Import the module that holds the command's `app` and run it; a missing extra is one line, even at the import."""
    try:
        app: typer.Typer = importlib.import_module(module).app
    except ModuleNotFoundError as error:
        return _say(name, _extra_sentence(name, error), EXIT_MISSING)
    except KeyboardInterrupt:  # the imports take a second: Ctrl-C may well come then
        return 130
    return run(app, name, arguments)


def run(  # noqa: PLR0911 - a table of errors and their exits, one return each
    app: typer.Typer, name: str, arguments: Sequence[str] | None = None
) -> int:
    """Run a Typer application and return its exit code; no traceback for what the user or the world did."""
    try:
        result = typer.main.get_command(app).main(args=arguments, prog_name=name, standalone_mode=False)
    except typer.TyperException as error:
        return _say(name, f"{' '.join(error.format_message().split())} (try: {name} --help)", EXIT_BAD_INPUT)
    except typer.Abort:
        return _say(name, "stopped", 130)
    except ForewarnError as error:
        return _say(name, error.message, error.exit_code)
    except ModuleNotFoundError as error:
        return _say(name, _extra_sentence(name, error), EXIT_MISSING)
    except SystemExit as left:
        # Typer has silenced stdout because the reader of our output left (`| head`), and would exit with 1, which here
        # means that the answer is "no". Nothing is wrong, and nothing more can be said.
        if not isinstance(left.__context__, BrokenPipeError):
            raise
        return EXIT_DONE
    except OSError as error:
        return _say(name, f"{error.strerror or error}: {error.filename or 'the system'}", EXIT_MISSING)
    return result if isinstance(result, int) else EXIT_DONE


def _extra_sentence(name: str, error: ModuleNotFoundError) -> str:
    if (error.name or "").startswith("forewarn"):
        raise error  # a defect of ours, which no extra mends
    extra = {"forewarn-client": "client", "forewarn-server": "server"}.get(name, "simulations")
    return f"the module {error.name} is not installed: run pip install 'forewarn[{extra}]'"


def _say(name: str, sentence: str, code: int) -> int:
    # A path, or a name in a file, may hold what moves a terminal's cursor.
    plain = "".join(character if character.isprintable() else "?" for character in sentence)
    with suppress(OSError):  # the exit code tells it all the same when stderr is full
        typer.echo(f"{name}: {plain}", err=True)
    return code
