"""The command `taskyard`: its commands, and the one place where errors become a line on stderr and an exit code.

Exit codes: 0 it is done; 1 the call or the task failed; 2 it was not asked or configured rightly. Heavy imports stand
in the commands themselves, so that `taskyard --help` and shell completion answer at once.
"""

import sys
from typing import Annotated

import typer

from taskyard.cli import (
    backup,
    check,
    demo,
    lanes,
    move,
    nodes,
    prove,
    restore,
    serve,
    servers,
    stats,
    tasks,
    token,
    top,
)
from taskyard.cli.stop import Stop

app = typer.Typer(
    name="taskyard",
    help="A self-hosted task scheduler for fleets of HTTP backend servers.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        print(f"taskyard {version('taskyard')}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    pass


app.command("serve")(serve.serve)
app.command("demo")(demo.demo)
app.command("token")(token.token)
app.add_typer(tasks.app)
app.add_typer(servers.app)
stats.add_to(app)
lanes.add_to(app)
top.add_to(app)
nodes.add_to(app)
app.command("backup")(backup.backup)
app.command("restore")(restore.restore)
app.command("check")(check.check)
app.command("prove")(prove.prove)
app.command("move")(move.move)


def main() -> None:
    """Runs the command line and exits."""
    try:
        app()
    except Stop as stop:
        from taskyard.cli.show import clean

        print(f"taskyard: {clean(stop.message)}", file=sys.stderr)
        sys.exit(stop.code)
