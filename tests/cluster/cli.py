"""The command line: `PYTHONPATH=tests python -m cluster …`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from cluster import bringup, hybrid, machine
from cluster.addresses import API_PORT
from cluster.control import init_pid
from cluster.folders import ClusterFiles
from cluster.options import ClusterOptions, FakeGpu
from cluster.parts import get_parts
from cluster.problems import ClusterProblem
from cluster.running import Cluster


def main(words: Sequence[str]) -> int:
    """Return the exit code: 0 done, 1 it cannot be done, 2 it was asked wrongly."""
    arguments = _parser().parse_args(words)
    try:
        _run(arguments)
    except ClusterProblem as problem:
        sys.stderr.write(f"cluster: {problem}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("cluster: interrupted; run it again to complete, or `down` to undo\n")
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m cluster",
        description="A real Kubernetes on this machine, as plain processes. Needs root.",
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    verb = verbs.add_parser("up", help="bring a cluster up, and wait until it is ready")
    verb.add_argument("name", nargs="?", default="dev")
    verb.add_argument("--index", type=int, help="its block of addresses; default: one that is free")
    verb.add_argument("--nodes", type=int, default=1)
    verb.add_argument(
        "--no-kubelet", action="store_true", help="a control plane alone; of KubeRay the kinds"
    )
    verb.add_argument("--no-dns", action="store_true", help="without CoreDNS")
    verb.add_argument("--no-kuberay", action="store_true", help="without the KubeRay operator")
    verb.add_argument(
        "--image",
        type=Path,
        action="append",
        default=[],
        metavar="TAR",
        help="a docker-archive file that every node gets; may be repeated",
    )
    verb.add_argument(
        "--fake-gpu",
        metavar="PRODUCT:COUNT:MEMORY",
        help="GPUs that every node says it has; memory in MiB",
    )
    verb.add_argument("--proxy-mode", choices=["nftables", "iptables"], default="nftables")
    for name, text in (
        ("down", "take a cluster down and leave nothing of it"),
        ("status", "tell what runs"),
        ("parts", "only build and unpack what clusters are made of"),
    ):
        verb = verbs.add_parser(name, help=text)
        if name == "down":
            verb.add_argument("name", nargs="?", default="dev")
    verb = verbs.add_parser("import", help="give every node the images of a docker-archive file")
    verb.add_argument("name")
    verb.add_argument("archive", type=Path)
    for name, text in (
        ("node-down", "cut a node's power"),
        ("node-up", "start a node again"),
    ):
        verb = verbs.add_parser(name, help=text)
        verb.add_argument("name")
        verb.add_argument("node", type=int)
    _add_hybrid(verbs)
    for name, text in (
        ("stop", "end a program of a node"),
        ("start", "start a program that was stopped"),
        ("restart", "stop it and start it"),
        ("kill", "kill it; the node starts it again"),
        ("logs", "print what it has printed"),
    ):
        verb = verbs.add_parser(name, help=text)
        verb.add_argument("name")
        verb.add_argument("program")
        verb.add_argument("--node", type=int, default=0)
    return parser


def _add_hybrid(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    for name, text in (
        ("hybrid-up", "bring up cloud, onprem and edge, joined by lines, with the images"),
        ("hybrid-down", "take these three down"),
    ):
        verb = verbs.add_parser(name, help=text)
        verb.add_argument("--prefix", default="", help="of the clusters' names")
    verb = verbs.add_parser("line", help="make a line between two of these three better or worse")
    verb.add_argument("one", choices=[hybrid.CLOUD, hybrid.ONPREM, hybrid.EDGE])
    verb.add_argument("other", choices=[hybrid.CLOUD, hybrid.ONPREM, hybrid.EDGE])
    verb.add_argument("--prefix", default="")
    verb.add_argument("--delay", type=float, default=0, help="milliseconds one way")
    verb.add_argument("--jitter", type=float, default=0, help="milliseconds at most beside that")
    verb.add_argument("--loss", type=float, default=0, help="share of packets that are lost")
    verb.add_argument("--rate", type=float, default=0, help="Mbit/s; 0 has no limit")
    verb.add_argument("--cut", action="store_true", help="nothing passes")
    verb.add_argument("--silent", action="store_true", help="connections are made, and say nothing")


def _run_hybrid(asked: argparse.Namespace) -> None:
    if asked.verb == "hybrid-up":
        for name, cluster in hybrid.up(asked.prefix, _say).items():
            address = f"https://{cluster.record.addresses.api_server}:{API_PORT}"
            _say(f"{name}: {cluster.kubeconfig} of {address}")
        return
    if asked.verb == "hybrid-down":
        hybrid.down(asked.prefix, _say)
        return
    lines = hybrid.lines(asked.prefix, hybrid.find(asked.prefix))
    lines.set(
        asked.one, asked.other, delay=asked.delay, jitter=asked.jitter, loss=asked.loss,
        rate=asked.rate, cut=asked.cut, silent=asked.silent,
    )  # fmt: skip


def _run(arguments: argparse.Namespace) -> None:
    match arguments.verb:
        case "up":
            cluster = bringup.up(_options(arguments), _say)
            _say(f"export KUBECONFIG={cluster.kubeconfig}")
        case "down":
            bringup.down(arguments.name, _say)
        case "parts":
            machine.require_root()
            get_parts(kubelet=True, kuberay=True, say=_say)
        case "status":
            _status()
        case "hybrid-up" | "hybrid-down" | "line":
            _run_hybrid(arguments)
        case "import":
            Cluster.find(arguments.name).import_image(arguments.archive.resolve())
        case "node-down":
            Cluster.find(arguments.name).node_down(arguments.node)
        case "node-up":
            Cluster.find(arguments.name).node_up(arguments.node)
        case "logs":
            _say(Cluster.find(arguments.name).logs(arguments.program, arguments.node).rstrip())
        case verb:
            act = getattr(Cluster.find(arguments.name), verb)
            act(arguments.program, arguments.node)


def _options(arguments: argparse.Namespace) -> ClusterOptions:
    for image in arguments.image:
        if not image.is_file():
            raise ClusterProblem(f"--image {image}: there is no such file")
    try:
        return ClusterOptions(
            name=arguments.name,
            index=arguments.index,
            nodes=arguments.nodes,
            kubelet=not arguments.no_kubelet,
            dns=not arguments.no_dns,
            kuberay=not arguments.no_kuberay,
            images=tuple(image.resolve() for image in arguments.image),
            fake_gpu=FakeGpu.parse(arguments.fake_gpu) if arguments.fake_gpu else None,
            proxy_mode=arguments.proxy_mode,
        )
    except ValidationError as wrong:
        problems = [
            f"{'.'.join(map(str, entry['loc'])) or 'options'}: {entry['msg']}"
            for entry in wrong.errors()
        ]
        raise ClusterProblem("; ".join(problems)) from wrong
    except ValueError as wrong:
        raise ClusterProblem(f"--fake-gpu {wrong}") from wrong


def _status() -> None:
    for record in machine.records():
        files = ClusterFiles(record.options.name)
        running = [
            node for node in range(record.options.nodes) if init_pid(files.node(node).control)
        ]
        _say(
            f"{record.options.name}: {len(running)} of {record.options.nodes} nodes run, "
            f"kubeconfig {files.kubeconfig('admin')}"
        )


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
