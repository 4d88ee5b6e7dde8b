"""The ways in which a cluster joins a hub, as `slm cluster join` tells of them."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from smallmodel_operator.cli.cluster.fleet import Hub, find_hub
from smallmodel_operator.cli.cluster.joining import Tell, Wish, join
from smallmodel_operator.cli.cluster.options import Access
from smallmodel_operator.cli.cluster.pulling import Prepared, carry, pull, write_private
from smallmodel_operator.cli.cluster.session import Session, ask, connected
from smallmodel_operator.cli.output import print_note, print_text, yaml_text

STDOUT: Final = Path("-")
_Prepare = Callable[[Hub, Session | None, Wish, Tell], Awaitable[Prepared]]


def join_by_hub(access: Access, member: Access, wish: Wish) -> None:
    """Join a cluster that the hub calls.

    Raises:
        CommandError: It cannot be joined as it is.
    """

    async def work(session: Session) -> None:
        hub = await find_hub(session)
        async with connected(member) as other:
            await join(hub, other, wish, print_text)

    ask(access, work)
    print_note(
        f"The hub calls it within 10 s: `slm cluster describe {wish.name}{access.words()}` says "
        "whether it can. A namespace there takes models once it is labelled: see "
        "docs/how-to/connect-a-cluster.md."
    )


def join_by_agent(
    access: Access, member: Access | None, wish: Wish, secret_file: Path | None
) -> None:
    """Join a cluster whose agent calls the hub.

    Args:
        access: The hub.
        member: The cluster; None: it cannot be reached from here.
        wish: What is to be joined.
        secret_file: Gets what is to be applied in the cluster.

    Raises:
        CommandError: It cannot be joined as it is.
    """
    _join_unseen(access, member, wish, secret_file, pull)
    print_note(
        f"`slm cluster describe {wish.name}{access.words()}` says whether it calls. A namespace "
        "there takes models once it is labelled: see docs/how-to/connect-a-cluster.md."
    )


def join_by_files(
    access: Access, member: Access | None, wish: Wish, secret_file: Path | None
) -> None:
    """Join a cluster that files are carried to; the arguments are those of `join_by_agent`.

    Raises:
        CommandError: It cannot be joined as it is.
    """
    _join_unseen(access, member, wish, secret_file, carry)
    print_note(
        "Then write down there what it has, and take that here: `slm bundle export --status > "
        f"status.slm`, `slm bundle import status.slm{access.words()}`. See "
        "docs/how-to/carry-models-to-an-air-gapped-cluster.md."
    )


def _join_unseen(
    access: Access, member: Access | None, wish: Wish, secret_file: Path | None, prepare: _Prepare
) -> None:
    # What is on standard output is applied in the cluster.
    tell = print_note if secret_file == STDOUT else print_text

    async def work(session: Session) -> Prepared:
        hub = await find_hub(session)
        if member is None:
            return await prepare(hub, None, wish, tell)
        async with connected(member) as other:
            return await prepare(hub, other, wish, tell)

    prepared = ask(access, work)
    if secret_file == STDOUT:
        print_text(yaml_text(prepared.secret))
    elif secret_file is not None:
        write_private(secret_file, f"{yaml_text(prepared.secret)}\n")
        print_text(f"{secret_file} has the Secret to apply in the cluster")
    print_note(f"Install the agent there:\n\n  {prepared.install}\n")
