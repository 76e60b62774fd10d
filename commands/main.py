"""`lifestage`: the commands by name, and how they end.

Exit codes: 0 done, 1 failed, 2 a wrong option or setting. A person sees one line on stderr, never a traceback, when
a setting is refused, a server cannot be reached or stdout takes no more; anything else is a defect of ours and shows
where it is.
"""

from __future__ import annotations

import errno
import importlib
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from commands.options import RootConfigFile
from config.errors import OptionError, SettingsError, UserFacingError

VERSION = "0.1.0"
COMMANDS = {
    "demo": "Replay real purchases through Kafka, and watch.",
    "worker": "Keep every customer's stage, and announce the changes.",
    "provision": "Create the topics, or say what would be created.",
    "send": "Put one event in.",
    "tail": "Follow a topic.",
    "dead-letters": "See what was rejected and why, and send it back.",
    "check": "Check a plan, and say what it holds.",
    "contract": "Print the contract, as JSON Schemas and AsyncAPI.",
    "replay": "Compute the stage changes of files of events, without Kafka.",
    "backtest": "Compare two plans: who would stand elsewhere.",
    "whatif": "Change windows of a plan and see who would stand elsewhere.",
    "kpis": "Compute the KPIs of files of events as of an instant.",
    "reconcile": "Compute the live KPIs anew from the log, and compare.",
    "explain": "Show why a customer is where they are, and why not further.",
    "customer": "Show where one customer stands, and what silence will bring.",
    "identity": "See which ids are one customer, join them, or split them.",
    "doctor": "Check all that a deployment stands on, and say what to mend.",
    "status": "Show who works, what waits, and where customers stand.",
    "tick": "Move the log's clock to an instant, where data moves it.",
    "config": "Show the settings in force; secrets as `…`.",
}
"""Each command is the function `run` in the module of its name, or several of them the `app` there. Modules are imported
when their command is called."""

CLIENTS = ("aiokafka", "kafka", "redis")
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
UNREACHABLE = ("ConnectionError", "KafkaConnectionError", "KafkaTimeoutError", "TimeoutError")


class LazyGroup(TyperGroup):
    """A list of commands that imports one of them only, the one that is called."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that `args` begin with, in place of its stub."""
        if args and args[0] in self.commands:
            self.commands[args[0]] = typer.main.get_command(_typer(args[0]))
        return super().resolve_command(ctx, args)


def _module(name: str) -> str:
    return f"commands.{name.replace('-', '_')}"


def _typer(name: str) -> typer.Typer:
    module = importlib.import_module(_module(name))
    if hasattr(module, "app"):
        several: typer.Typer = module.app
        return several
    one = typer.Typer(add_completion=False, rich_markup_mode=None)
    one.command(name, help=module.run.__doc__ or COMMANDS[name])(module.run)
    return one


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"lifestage {VERSION}")
        raise typer.Exit


def _root(
    config: RootConfigFile = None,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show it.")] = False,
) -> None:
    """Where does each customer stand? Lifecycle stages and KPIs, computed live on Kafka."""


def application() -> typer.Typer:
    """The command line with every command whose module is there, each as a stub until it is called."""
    app = typer.Typer(
        cls=LazyGroup,
        add_completion=False,
        no_args_is_help=True,
        # Plain text: half the time to start, and the same in a pipe.
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )
    app.callback()(_root)
    for name, meaning in COMMANDS.items():
        if find_spec(_module(name)):
            app.command(name, help=meaning)(_stub())
    return app


def _stub() -> Callable[[], None]:
    return lambda: None


def main() -> None:
    """Run the command line and end the process with its exit code."""
    try:
        with _flushed_stdout():
            application()(prog_name="lifestage")
    except (OptionError, SettingsError) as error:
        _end(str(error), 2)
    except UserFacingError as error:
        _end(str(error), 1)
    except Exception as error:
        if isinstance(error, OSError) and error.errno in FULL:
            _end(_unwritten(error), 1)
        if not is_unreachable(error):
            raise
        bare = type(error).__module__.split(".")[0] in ("builtins", "socket", *CLIENTS)
        _end(f"{_said(error)}; `lifestage config` shows the addresses in force" if bare else str(error), 1)


@contextmanager
def _flushed_stdout() -> Iterator[None]:
    """Bring out what a command printed, however it ends. Raises `UserFacingError` when stdout takes no more of it."""
    try:
        yield
    finally:
        try:
            if sys.stdout is not None:
                sys.stdout.flush()
        except BrokenPipeError:  # the reader has gone, who is told nothing
            _drop_stdout()
            raise SystemExit(1) from None
        except OSError as error:
            _drop_stdout()
            raise UserFacingError(_unwritten(error)) from None


def _unwritten(error: OSError) -> str:
    return f"{error.filename or 'stdout'}: cannot be written ({error.strerror})"


def _drop_stdout() -> None:
    """What is left of the output goes nowhere: Python would try it once more at the end, and complain."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def is_unreachable(error: BaseException) -> bool:
    """Whether an error says that a server could not be reached. The clients' classes are known by name, not imported."""
    return isinstance(error, (ConnectionError, TimeoutError)) or any(
        cls.__module__.split(".")[0] in CLIENTS and cls.__name__ in UNREACHABLE for cls in type(error).__mro__
    )


def _said(error: BaseException) -> str:
    return str(error) or type(error).__name__


def _end(message: str, code: int) -> None:
    typer.echo(f"lifestage: {message}", file=sys.stderr)
    raise SystemExit(code)
