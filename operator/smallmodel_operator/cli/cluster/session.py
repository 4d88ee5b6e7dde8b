"""One command's connection to a cluster, and the one place where its errors become exit codes."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

from smallmodel_operator.cli.cluster.options import Access
from smallmodel_operator.cli.errors import CommandError, ExitCode

if TYPE_CHECKING:
    from smallmodel_operator.clusters.api import Api
    from smallmodel_operator.clusters.errors import ApiError

CHART: Final = (
    "helm upgrade --install smallmodel-operator charts/smallmodel-operator "
    "--namespace smallmodel-system --create-namespace"
)
"""How the operator is installed, from a checkout."""

_TOTAL_SECONDS: Final = 10.0

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """An API server and the namespace that is meant.

    Attributes:
        api: The connection.
        context: The context's name; None: as the pod that this runs in.
        namespace: As given, else the context's.
        access: What the user gave.
    """

    api: "Api"
    context: str | None
    namespace: str
    access: Access

    @property
    def kubectl(self) -> str:
        """The beginning of a kubectl command for the same cluster and namespace."""
        return f"kubectl{self.access.words()} -n {self.namespace}"


@asynccontextmanager
async def connected(access: Access) -> AsyncIterator[Session]:
    """Connect for as long as the block runs.

    Raises:
        ApiError: No cluster is known.
    """
    from smallmodel_operator.clusters.api import Api
    from smallmodel_operator.clusters.contexts import read_context
    from smallmodel_operator.clusters.wire import Limits

    found = read_context(access.kubeconfig, access.context)
    limits = Limits(total=_TOTAL_SECONDS)
    async with await Api.connect(found.kubeconfig, context=found.name, limits=limits) as api:
        yield Session(
            api=api,
            context=found.name,
            namespace=access.namespace or found.namespace,
            access=access,
        )


def ask(access: Access, work: Callable[[Session], Awaitable[Result]]) -> Result:
    """Do some work with a cluster, and return what came of it.

    Raises:
        CommandError: The cluster cannot be reached, or does not do what was asked.
    """

    async def run() -> Result:
        async with connected(access) as session:
            return await work(session)

    with _explained(access):
        return asyncio.run(run())


@contextmanager
def held(
    access: Access, hold: Callable[[Session], AbstractAsyncContextManager[Result]]
) -> Iterator[Result]:
    """Keep something open on a cluster in a thread of its own, for as long as the block runs.

    Raises:
        CommandError: The cluster cannot be reached, or does not do what was asked.
    """
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    stack = contextlib.AsyncExitStack()

    async def enter() -> Result:
        session = await stack.enter_async_context(connected(access))
        return await stack.enter_async_context(hold(session))

    try:
        with _explained(access):
            opened = asyncio.run_coroutine_threadsafe(enter(), loop).result()
        yield opened
    finally:
        asyncio.run_coroutine_threadsafe(stack.aclose(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@contextmanager
def _explained(access: Access) -> Iterator[None]:
    from smallmodel_operator.clusters.errors import ApiError

    try:
        yield
    except ApiError as error:
        raise explain(error, access) from error
    except ModuleNotFoundError as error:
        raise CommandError(
            f"{error.name} is not installed, and slm needs it to speak to a cluster; install "
            "`smallmodel-operator[cli,cluster]`"
        ) from error


def explain(error: "ApiError", access: Access) -> CommandError:
    """Return what the user is told of an error: the value, the rule, the next step."""
    from smallmodel_operator.clusters import errors

    text = str(error)
    match error:
        case errors.NoConnection():
            return CommandError(text, ExitCode.USAGE)
        case errors.ApiMissing():
            hint = f"`slm doctor{access.words() or ' --context NAME'}` tells what is installed"
            return CommandError(
                f"{text}. The operator's chart brings those of smallmodel.dev (`{CHART}`); {hint}",
                ExitCode.NOT_FOUND,
            )
        case errors.NotFound():
            return CommandError(text, ExitCode.NOT_FOUND)
        case errors.Invalid():
            return CommandError(text, ExitCode.INVALID_MANIFEST)
        case _:
            return CommandError(text)
