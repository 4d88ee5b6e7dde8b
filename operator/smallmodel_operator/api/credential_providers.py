"""Programs that give credentials for other clusters, as the operator's administrator lists them.

The format is that of the file which controllers of SIG Multicluster read (KEP-5339), so that a list
made for another one can be taken over. It is no object of the cluster: who writes a ClusterProfile
chooses among these, and can bring no program of his own.
"""

from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field, field_validator

from smallmodel_operator.api.base import ApiModel

EXEC_API_VERSION: Final = "client.authentication.k8s.io/v1"
EXEC_INFO: Final = "KUBERNETES_EXEC_INFO"
"""The variable that tells a program what is asked of it."""


def _none_is_nothing(value: object) -> object:
    # The upstream library writes `args: null`.
    return () if value is None else value


class ExecVariable(ApiModel):
    """One variable of a program's environment."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
    """Its name."""
    value: str
    """Its value."""

    @field_validator("name")
    @classmethod
    def _is_not_the_operators(cls, name: str) -> str:
        if name == EXEC_INFO:
            raise ValueError(
                f"{EXEC_INFO} is written by the operator for each run; leave it out, and set "
                "provideClusterInfo where the program is to know the cluster"
            )
        return name


class ExecConfig(ApiModel):
    """A program, as kubeconfigs have it."""

    api_version: Literal["client.authentication.k8s.io/v1"]
    """Of what it is told and answers."""
    command: str
    """The program, by its whole path in the operator's container."""
    args: Annotated[tuple[str, ...], BeforeValidator(_none_is_nothing)] = ()
    """What is written behind it."""
    env: Annotated[tuple[ExecVariable, ...], BeforeValidator(_none_is_nothing)] = ()
    """Variables of its environment, besides the few that every program gets."""
    provide_cluster_info: bool = False
    """Tell it the cluster's address and authority, and what the ClusterProfile has for it."""
    interactive_mode: Literal["Never", "IfAvailable"] = "Never"
    """Nobody is there to be asked."""

    @field_validator("command")
    @classmethod
    def _is_a_whole_path(cls, command: str) -> str:
        if not command.startswith("/"):
            raise ValueError(
                f"{command!r} is not a whole path; write where the program is in the operator's "
                "container, for example /plugins/secretreader"
            )
        return command


class CredentialProvider(ApiModel):
    """One program, and the name by which ClusterProfiles list it.

    Arguments and variables out of a ClusterProfile are never taken.
    """

    name: Annotated[str, Field(min_length=1, max_length=253)]
    """As in `status.accessProviders` of ClusterProfiles."""
    exec_config: ExecConfig
    """The program."""
    profile_sourced_cli_args_policy: Annotated[
        Literal["Ignore"], Field(alias="profileSourcedCLIArgsPolicy")
    ] = "Ignore"
    """What becomes of arguments in a ClusterProfile."""
    profile_sourced_env_vars_policy: Literal["Ignore"] = "Ignore"
    """What becomes of variables in a ClusterProfile."""


def _distinct(providers: tuple[CredentialProvider, ...]) -> tuple[CredentialProvider, ...]:
    names = [one.name for one in providers]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"two providers are called {twice[0]}; give each a name of its own")
    return providers


CredentialProviders = Annotated[tuple[CredentialProvider, ...], AfterValidator(_distinct)]
"""Those of one operator; a ClusterProfile that lists several is reached by the first one."""
