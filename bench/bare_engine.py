"""An engine alone, in a process of its own: `python -m bench.bare_engine ARGS`.

It is the project's own engine with the arguments that a replica gets, and nothing in front of it.
Prints its base URL when it is up.
"""

import contextlib
import signal
import sys
from collections.abc import AsyncIterator

from bench.children import program
from bench.plan import Bench
from bench.slm_up import CARD, NAME
from smallmodel_operator.api.fetch import FetchDone
from smallmodel_operator.api.modelcard import Task
from smallmodel_operator.api.serving import LlamaCppArgs, ModelArgs
from smallmodel_operator.api.smallmodel import Engine
from smallmodel_operator.local.bundled import fetch_bundled_cards
from smallmodel_operator.local.fetcher import FetchRequest, fetch
from smallmodel_operator.local.paths import cache_folder
from smallmodel_operator.local.processes import end_with_parent


@contextlib.asynccontextmanager
async def bare_engine(bench: Bench, args: ModelArgs) -> AsyncIterator[str]:
    """Run an engine alone, and give the base URL for an OpenAI client.

    Raises:
        ChildError: It did not start.
    """
    log = bench.folder / "bare-engine.log"
    async with program("bench.bare_engine", args.model_dump_json(), log=log) as (_, url):
        yield f"{url}/v1"


def engine_args(
    weights: FetchDone, *, context_length: int, slots: int, threads: int | None
) -> ModelArgs:
    """Return the arguments of a replica of the benchmark's model."""
    return ModelArgs(
        name=NAME,
        task=Task.CHAT,
        weights=weights.path,
        sha256=weights.sha256,
        engine=LlamaCppArgs(context_length=context_length, slots=slots, threads=threads),
        memory_bytes=0,
    )


async def fetched_weights() -> FetchDone:
    """Return the weights of the benchmark's model from the user's cache, fetched when missing.

    Raises:
        RuntimeError: They could not be fetched.
    """
    cards = {card.metadata.name: card for card in fetch_bundled_cards().cards}
    variants = cards[CARD].spec.variants
    variant = next(variant for variant in variants if variant.engine is Engine.LLAMA_CPP)
    request = FetchRequest(uri=variant.uri, sha256=variant.sha256, bytes=variant.bytes)
    told = [event async for event in fetch(request, cache_folder())][-1]
    if isinstance(told, FetchDone):
        return told
    raise RuntimeError(f"{variant.uri} was not fetched: {told}")


def _main() -> None:
    from smallmodel_serving.runtime.application import new_engine

    end_with_parent()
    engine = new_engine(ModelArgs.model_validate_json(sys.argv[1]))
    engine.start(others_awake=0)
    print(engine.address, flush=True)
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    engine.stop()


if __name__ == "__main__":
    # Before any thread is made, so that all of them leave the signals to `sigwait`.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    _main()
