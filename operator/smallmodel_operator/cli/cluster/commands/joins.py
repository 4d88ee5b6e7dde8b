"""The ways in which a cluster joins a hub, as `slm cluster join` tells of them."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from smallmodel_operator.cli.cluster.debts import settle
from smallmodel_operator.cli.cluster.fleet import Hub, find_hub
from smallmodel_operator.cli.cluster.joining import Tell, Wish, join
from smallmodel_operator.cli.cluster.options import Access
from smallmodel_operator.cli.cluster.pulling import Prepared, carry, pull, write_private
from smallmodel_operator.cli.cluster.session import Session, ask, connected
from smallmodel_operator.cli.output import print_note, print_text, yaml_text

STDOUT: Final = Path("-")
_Prepare = Callable[[Hub, Session | None, Wish, Tell], Awaitable[Prepared]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Joining:
    """Which two clusters are meant.

    Attributes:
        hub: The hub.
        member: The cluster; None: it cannot be reached from here.
        allow_deletions: Many models of before may end.
    """

    hub: Access
    member: Access | None
    allow_deletions: bool


def join_by_hub(joining: Joining, member: Access, wish: Wish) -> None:
    """Join a cluster that the hub calls.

    Raises:
        CommandError: It cannot be joined as it is.
    """

    async def work(session: Session) -> None:
        hub = await find_hub(session)
        async with connected(member) as other:
            await join(hub, other, wish, print_text)
            await _settle(joining, hub, other, wish, print_text)

    ask(joining.hub, work)
    print_note(
        f"The hub calls it within 10 s: `slm cluster describe {wish.name}{joining.hub.words()}` "
        "says whether it can. A namespace there takes models once it is labelled: see "
        "docs/how-to/connect-a-cluster.md."
    )


def join_by_agent(joining: Joining, wish: Wish, secret_file: Path | None) -> None:
    """Join a cluster whose agent calls the hub.

    Args:
        joining: Which two clusters are meant.
        wish: What is to be joined.
        secret_file: Gets what is to be applied in the cluster.

    Raises:
        CommandError: It cannot be joined as it is.
    """
    _join_unseen(joining, wish, secret_file, pull)
    print_note(
        f"`slm cluster describe {wish.name}{joining.hub.words()}` says whether it calls. A "
        "namespace there takes models once it is labelled: see docs/how-to/connect-a-cluster.md."
    )


def join_by_files(joining: Joining, wish: Wish, secret_file: Path | None) -> None:
    """Join a cluster that files are carried to; the arguments are those of `join_by_agent`.

    Raises:
        CommandError: It cannot be joined as it is.
    """
    _join_unseen(joining, wish, secret_file, carry)
    print_note(
        "Then write down there what it has, and take that here: `slm bundle export --status > "
        f"status.slm`, `slm bundle import status.slm{joining.hub.words()}`. See "
        "docs/how-to/carry-models-to-an-air-gapped-cluster.md."
    )


def _join_unseen(joining: Joining, wish: Wish, secret_file: Path | None, prepare: _Prepare) -> None:
    # What is on standard output is applied in the cluster.
    tell = print_note if secret_file == STDOUT else print_text

    async def work(session: Session) -> Prepared:
        hub = await find_hub(session)
        if joining.member is None:
            prepared = await prepare(hub, None, wish, tell)
            await _settle(joining, hub, None, wish, tell)
            return prepared
        async with connected(joining.member) as other:
            prepared = await prepare(hub, other, wish, tell)
            await _settle(joining, hub, other, wish, tell)
            return prepared

    prepared = ask(joining.hub, work)
    if secret_file == STDOUT:
        print_text(yaml_text(prepared.secret))
    elif secret_file is not None:
        write_private(secret_file, f"{yaml_text(prepared.secret)}\n")
        print_text(f"{secret_file} has the Secret to apply in the cluster")
    print_note(f"Install the agent there:\n\n  {prepared.install}\n")


async def _settle(
    joining: Joining, hub: Hub, member: Session | None, wish: Wish, tell: Tell
) -> None:
    from smallmodel_operator.clusters.identity import cluster_uid

    uid = await cluster_uid(member.api) if member is not None else None
    await settle(hub, member, wish.name, uid, tell, allow_many=joining.allow_deletions)
