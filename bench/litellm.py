"""LiteLLM's proxy beside the project's path, in an environment of its own."""

import asyncio
import contextlib
import secrets
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx
import yaml

from bench.children import ROOT, child, free_port, tail
from bench.plan import Bench
from bench.slm_up import NAME

VERSION: Final = "1.106.2"

_ENVIRONMENT: Final = ROOT / ".venv-bench"
_PROGRAM: Final = _ENVIRONMENT / "bin" / "litellm"
_STAMP: Final = _ENVIRONMENT / f".litellm-{VERSION}"
_READY_SECONDS: Final = 90.0


class LiteLlmError(Exception):
    """LiteLLM could not be installed or started: it is left out then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LiteLlm:
    """A running proxy."""

    pid: int
    url: str
    """The base URL for an OpenAI client."""
    headers: str
    """The header line with its key."""


async def install(bench: Bench) -> None:
    """Install LiteLLM into `.venv-bench`, unless it is there.

    Raises:
        LiteLlmError: uv is missing, or the installation failed.
    """
    if _STAMP.exists():
        return
    uv = shutil.which("uv") or shutil.which(str(ROOT / ".venv-tools" / "bin" / "uv"))
    if uv is None:
        raise LiteLlmError("uv was not found; `make bench` gets it where it is missing")
    bench.say(f"install LiteLLM {VERSION} into {_ENVIRONMENT.name}")
    log = bench.folder / "litellm-install.log"
    await _run(uv, "venv", "--clear", "--quiet", str(_ENVIRONMENT), log=log)
    await _run(
        *(uv, "pip", "install", "--quiet", "--python", str(_ENVIRONMENT / "bin" / "python")),
        f"litellm[proxy]=={VERSION}",
        log=log,
    )
    _STAMP.touch()


@contextlib.asynccontextmanager
async def litellm(bench: Bench, engine_url: str) -> AsyncIterator[LiteLlm]:
    """Run the proxy with one worker in front of an OpenAI endpoint, without a database.

    Raises:
        LiteLlmError: It did not become ready.
    """
    folder = bench.new_folder("litellm")
    config = folder / "config.yaml"
    target = {"model": f"openai/{NAME}", "api_base": f"{engine_url}/v1", "api_key": "none"}
    config.write_text(
        yaml.safe_dump({"model_list": [{"model_name": NAME, "litellm_params": target}]}),
        encoding="utf-8",
    )
    port = free_port()
    key = f"sk-{secrets.token_hex(24)}"
    log = folder / "stderr.log"
    environment = {
        "LITELLM_MASTER_KEY": key,
        # It would ask the network for prices otherwise.
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LITELLM_LOG": "ERROR",
    }
    options = ("--config", str(config), "--host", "127.0.0.1", "--port", str(port))
    command = (str(_PROGRAM), *options, "--num_workers", "1")
    async with child(*command, log=log, environment=environment) as process:
        assert process.stdout is not None
        said = asyncio.create_task(process.stdout.read())
        try:
            await _until_ready(process, port, log)
            yield LiteLlm(
                pid=process.pid,
                url=f"http://127.0.0.1:{port}/v1",
                headers=f"authorization: Bearer {key}\r\n",
            )
        finally:
            said.cancel()


async def _until_ready(process: asyncio.subprocess.Process, port: int, log: Path) -> None:
    url = f"http://127.0.0.1:{port}/health/liveliness"
    async with httpx.AsyncClient(trust_env=False) as client:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_READY_SECONDS):
                while process.returncode is None:
                    with contextlib.suppress(httpx.HTTPError):
                        if (await client.get(url)).status_code == 200:
                            return
                    await asyncio.sleep(0.2)
    raise LiteLlmError(f"LiteLLM was not ready:\n{tail(log)}")


async def _run(*command: str, log: Path) -> None:
    async with child(*command, log=log) as process:
        assert process.stdout is not None
        await process.stdout.read()
        if await process.wait() != 0:
            raise LiteLlmError(f"{' '.join(command[:3])} failed:\n{tail(log)}")
