"""A program that asks models again and again, and counts what comes of it.

It runs in a pod of a model's namespace, from the serving image, so it needs nothing but Python and
aiohttp. Its one argument is a JSON object with the fields of `Plan`; it prints one JSON line for
each request, and ends at its time, at its count, or on SIGTERM once what is under way has ended.
"""

import asyncio
import json
import signal
import sys
import time
from dataclasses import asdict, dataclass

import aiohttp


@dataclass(frozen=True)
class Plan:
    """What to ask.

    Attributes:
        url: the namespace's endpoint, up to `/v1`.
        models: asked in turn.
        clients: how many ask at the same time, each one request after the other.
        seconds: no request begins later.
        count: no more requests than this.
        stream: whether answers are streamed.
        max_tokens: the longest answer.
        timeout: seconds after which a client gives a request up.
        pause: seconds that a client rests after each request.
        admission: seconds within which the gateway has to admit the pod.
    """

    url: str
    models: list[str]
    clients: int = 2
    seconds: float = 180.0
    count: int = 100_000
    stream: bool = False
    max_tokens: int = 4
    timeout: float = 90.0
    pause: float = 0.1
    admission: float = 30.0


@dataclass
class Asked:
    """One request. `status` is 0 where no answer came; `complete` says that all of one did."""

    model: str
    start: float
    seconds: float = 0.0
    status: int = 0
    complete: bool = False
    error: str = ""


async def run(plan: Plan) -> None:
    """Carry out the plan."""
    ends = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ends.set)
    # Each request makes a connection of its own, so that none outlives the pod that it led to.
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    timeout = aiohttp.ClientTimeout(total=plan.timeout)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        await _admitted(session, plan)
        last = time.time() + plan.seconds
        numbers = iter(range(plan.count))

        async def client() -> None:
            while not ends.is_set() and time.time() < last:
                number = next(numbers, None)
                if number is None:
                    return
                asked = Asked(model=plan.models[number % len(plan.models)], start=time.time())
                await _ask(session, plan, asked)
                asked.seconds = round(time.time() - asked.start, 3)
                _print(asdict(asked))
                if plan.pause:
                    await asyncio.sleep(plan.pause)

        await asyncio.gather(*(client() for _ in range(plan.clients)))
    _print({"ended": True})


async def _admitted(session: aiohttp.ClientSession, plan: Plan) -> None:
    """Wait until the gateway knows this pod as one of the namespace's."""
    limit = time.time() + plan.admission
    while True:
        try:
            async with session.get(f"{plan.url}/models") as answer:
                if answer.status == 200:
                    break
        except aiohttp.ClientError:
            pass
        if time.time() > limit:
            raise SystemExit(f"{plan.url} does not admit this pod")
        await asyncio.sleep(0.2)
    _print({"admitted": True})


async def _ask(session: aiohttp.ClientSession, plan: Plan, asked: Asked) -> None:
    body = {
        "model": asked.model,
        "messages": [{"role": "user", "content": "Count to a hundred."}],
        "max_tokens": plan.max_tokens,
        "stream": plan.stream,
    }
    try:
        async with session.post(f"{plan.url}/chat/completions", json=body) as answer:
            asked.status = answer.status
            if answer.status != 200:
                asked.error = (await answer.text())[:400]
            elif plan.stream:
                await _read_stream(answer, asked)
            else:
                asked.complete = "choices" in await answer.json()
    except (TimeoutError, aiohttp.ClientError) as error:
        asked.error = f"{type(error).__name__}: {error}"


async def _read_stream(answer: aiohttp.ClientResponse, asked: Asked) -> None:
    async for line in answer.content:
        if line.startswith(b'data: {"error"'):
            asked.error = line.decode()[:400]
        elif line.startswith(b"data: [DONE]"):
            asked.complete = not asked.error


def _print(values: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(values) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(run(Plan(**json.loads(sys.argv[1]))))
