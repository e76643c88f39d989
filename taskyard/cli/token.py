"""`taskyard token`: signs a token with the node's secret, on the node's machine. Calls nothing."""

import os
import time
from typing import Annotated

import typer

from taskyard.cli.stop import Stop
from taskyard.cli.values import duration_option

_DAY_MS = 86_400_000


def token(
    role: Annotated[list[str], typer.Option("--role", help="admin, user or service (repeatable).", show_default=False)],
    subject: Annotated[str, typer.Option("--subject", help="Who it is for: tasks belong to it.")] = "cli",
    lifetime: Annotated[int | None, duration_option("--lifetime", "How long it is valid, 24h if not given.")] = None,
    data_dir: Annotated[
        str | None, typer.Option("--data-dir", help="The data folder of the node.", show_default=False)
    ] = None,
    config: Annotated[
        str | None, typer.Option("--config", help="The node's configuration file.", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON for scripts.")] = False,
) -> None:
    """Prints a token, signed by JWT_SECRET of the environment, the configuration, or the data folder.

    A token with the role service alone is signed by SERVICE_JWT_SECRET where that is set.
    """
    from taskyard.settings import SettingsError, kept_secret, load
    from taskyard.tokens import sign

    try:
        settings = load({"data_dir": data_dir, "config": config}, os.environ)
        service = settings.service_jwt_secret if set(role) == {"service"} else ()
        kept = kept_secret(settings.data_path) if not (service or settings.jwt_secret) else None
    except SettingsError as error:
        raise Stop(str(error), 2) from None
    secret = next(iter((*service, *settings.jwt_secret)), kept)
    if secret is None:
        raise Stop(
            f"there is no secret to sign with: set JWT_SECRET as the node has it, or give --data-dir of a node started "
            f"with --dev ({settings.data_path} has no jwt_secret)",
            2,
        )
    now, valid = time.time_ns() // 1_000_000, _DAY_MS if lifetime is None else lifetime
    try:
        signed = sign(secret.reveal(), subject, role, valid, now)
    except ValueError as error:
        raise Stop(str(error), 2) from None
    if as_json:
        from taskyard.cli import show

        show.json_line({"token": signed, "sub": subject, "roles": sorted(set(role)), "expiresAt": now + valid})
    else:
        print(signed)
