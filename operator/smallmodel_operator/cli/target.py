"""Which of the two a command speaks to: `slm up` on this machine, or a cluster."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from itertools import pairwise
from typing import Final

from smallmodel_operator.cli.errors import CommandError, ExitCode

VARIABLE: Final = "SLM_TARGET"

_LOCAL_ONLY: Final = frozenset({"up", "down", "catalog", "crd", "version", "whatif"})
"""The last four speak to nothing, and are the same for both."""
_CLUSTER_ONLY: Final = frozenset({"explain", "url", "pool", "cluster", "bundle", "snapshot"})
_CLUSTER_OPTIONS: Final = frozenset(
    {"--context", "--kubeconfig", "--namespace", "--all-namespaces", "-A", "--server"}
)
_NAMESPACE: Final = "-n"
"""In `slm logs` also a number of lines, as it was before clusters were spoken to."""


class Target(StrEnum):
    """What a command speaks to."""

    LOCAL = "local"
    CLUSTER = "cluster"


def choose_target(arguments: Sequence[str], environment: Mapping[str, str]) -> Target:
    """Return what a command line speaks to.

    A command that only one of the two has decides; then an option that only clusters have; then
    the environment.

    Args:
        arguments: Without the program's name.
        environment: Of which `SLM_TARGET` is read.

    Raises:
        CommandError: The variable has another value than `local` or `cluster`.
    """
    preferred = _preferred(environment)
    command = next((word for word in arguments if not word.startswith("-")), "")
    if command in _LOCAL_ONLY:
        return Target.LOCAL
    if command in _CLUSTER_ONLY or _has_cluster_option(arguments, command):
        return Target.CLUSTER
    return preferred


def _preferred(environment: Mapping[str, str]) -> Target:
    given = environment.get(VARIABLE) or Target.LOCAL
    if given not in tuple(Target):
        raise CommandError(
            f"{VARIABLE} is {given!r}; write {Target.LOCAL} or {Target.CLUSTER}, or unset it",
            ExitCode.USAGE,
        )
    return Target(given)


def _has_cluster_option(arguments: Sequence[str], command: str) -> bool:
    for word, following in pairwise((*arguments, "")):
        if word == "--":
            return False
        if word.partition("=")[0] in _CLUSTER_OPTIONS:
            return True
        if word == _NAMESPACE and not (command == "logs" and following.isdecimal()):
            return True
    return False
