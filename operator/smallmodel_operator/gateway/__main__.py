"""`python -m smallmodel_operator.gateway`: the agent, and with `--write-once` its first step."""

import argparse
import asyncio
import json
import logging
import signal
import sys
from collections.abc import Sequence
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Final

from aiohttp import web
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.config.config_exception import ConfigException
from kubernetes.aio.config.incluster_config import load_incluster_config
from kubernetes.aio.config.kube_config import load_kube_config

from smallmodel_operator.gateway.admin import EnvoyAdmin
from smallmodel_operator.gateway.agent import Agent
from smallmodel_operator.gateway.certificates import Certificates
from smallmodel_operator.gateway.endpoints import build_app
from smallmodel_operator.gateway.files import GatewayFiles
from smallmodel_operator.gateway.metrics import AgentMetrics
from smallmodel_operator.gateway.source import ConfigMapSource
from smallmodel_operator.plan.gateway.cluster_values import CERTIFICATES_FOLDER
from smallmodel_operator.plan.gateway.config_map import GATEWAY_NAME

_CONFIRM_SECONDS: Final = 0.5
_log: Final = logging.getLogger("smallmodel_operator.gateway")


class JsonLines(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record's line."""
        said = {
            "time": self.formatTime(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            said["error"] = self.formatException(record.exc_info)
        return json.dumps(said)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until a signal comes, or until the files are there; return the exit status."""
    options = _parser().parse_args(arguments)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    try:
        asyncio.run(_run(options))
    except ConfigException as error:
        _log.error("%s; run in a pod with a service account, or give --kubeconfig", error)
        return 1
    except OSError as error:
        _log.error("%s", error)
        return 1
    return 0


async def _run(options: argparse.Namespace) -> None:
    metrics = AgentMetrics()
    admin = EnvoyAdmin(f"http://{options.admin}")
    agent = Agent(GatewayFiles(options.folder), admin, metrics)
    task = asyncio.ensure_future(_work(options, agent, metrics))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    try:
        with suppress(asyncio.CancelledError):
            await task
    finally:
        await admin.close()


async def _work(options: argparse.Namespace, agent: Agent, metrics: AgentMetrics) -> None:
    certificates = Certificates(options.secret, options.certificates)
    certificates.keep()
    if agent.start(options.seed) and options.write_once:
        return
    async with await _client(options.kubeconfig) as client:
        source = ConfigMapSource(client, options.namespace, options.config_map, metrics)
        if options.write_once:
            await _write_once(source, agent, options.seed)
        else:
            await _keep(source, agent, certificates, metrics, options.listen)


async def _write_once(source: ConfigMapSource, agent: Agent, seed: Path) -> None:
    async with aclosing(source.latest(_CONFIRM_SECONDS)) as found:
        async for config_map in found:
            if config_map is not None:
                await agent.take(config_map)
            if agent.ready or agent.start(seed):
                return


async def _keep(
    source: ConfigMapSource,
    agent: Agent,
    certificates: Certificates,
    metrics: AgentMetrics,
    listen: tuple[str, int],
) -> None:
    runner = web.AppRunner(build_app(lambda: agent.ready, metrics), access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, *listen).start()
        async with aclosing(source.latest(_CONFIRM_SECONDS)) as found:
            async for config_map in found:
                if config_map is not None:
                    await agent.take(config_map)
                certificates.keep()
                if agent.unconfirmed:
                    await agent.confirm()
    finally:
        await runner.cleanup()


async def _client(kubeconfig: Path | None) -> ApiClient:
    configuration = Configuration()
    if kubeconfig is None:
        load_incluster_config(client_configuration=configuration)
    else:
        await load_kube_config(str(kubeconfig), client_configuration=configuration)
    return ApiClient(configuration)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m smallmodel_operator.gateway",
        description="Keeps the files of the Envoy beside it as a ConfigMap says.",
    )
    parser.add_argument("--config-map", default=GATEWAY_NAME, metavar="NAME")
    parser.add_argument("--namespace", required=True)
    parser.add_argument("--folder", type=Path, default=Path("/config"))
    parser.add_argument("--seed", type=Path, default=Path("/seed"))
    parser.add_argument("--secret", type=Path, default=Path("/tls"))
    parser.add_argument("--certificates", type=Path, default=Path(CERTIFICATES_FOLDER))
    parser.add_argument("--write-once", action="store_true", help="end when the files are there")
    parser.add_argument("--listen", type=_address, default=("0.0.0.0", 9903), metavar="HOST:PORT")  # noqa: S104 - a pod's own
    parser.add_argument("--admin", default="127.0.0.1:9901", metavar="HOST:PORT")
    parser.add_argument("--kubeconfig", type=Path, metavar="FILE")
    return parser


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


if __name__ == "__main__":
    sys.exit(main())
