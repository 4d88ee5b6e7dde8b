"""What the agent of a member is told at its start, besides what the operator is.

The chart writes these variables where its value `role` is Agent; `docs/reference/environment.md`
lists them. Parsing does no I/O.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, Self

from pydantic import ConfigDict, Field, ValidationError, field_validator

from smallmodel_operator.api import patterns
from smallmodel_operator.api.base import ApiModel
from smallmodel_operator.api.names import CLUSTER_NAME_MAX, LOCAL_CLUSTER
from smallmodel_operator.settings import PREFIX, SettingsError, given_in

AGENT_PREFIX: Final = f"{PREFIX}AGENT_"
_LABEL: Final = r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"
_MEANINGS: Final = {**patterns.MEANINGS, _LABEL: "the id as `slm cluster join` prints it"}


class AgentSettings(ApiModel):
    """The agent's choices. A field `x_y` is the variable `SMALLMODEL_AGENT_X_Y`."""

    model_config = ConfigDict(alias_generator=lambda field: AGENT_PREFIX + field.upper())

    cluster_name: Annotated[str, Field(pattern=patterns.NAME, max_length=CLUSTER_NAME_MAX)]
    """The ModelCluster on the hub that this cluster is."""
    hub_id: Annotated[str, Field(pattern=_LABEL)]
    """The id of the hub whose placements are served: those of another one are left alone."""
    hub_kubeconfig: Path = Path("/etc/smallmodel/hub/kubeconfig")
    """The file with the kubeconfig of the hub. It is read again and again, and may come later."""

    @field_validator("cluster_name")
    @classmethod
    def _is_not_the_hubs_own(cls, name: str) -> str:
        if name == LOCAL_CLUSTER:
            raise ValueError(f"{LOCAL_CLUSTER} is the hub's own cluster, which needs no agent")
        return name

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Read every variable that has a field here; an empty one counts as unset.

        Raises:
            SettingsError: A variable is missing or wrong; each line names one, its value and
                its rule.
        """
        given = given_in(environment, cls)
        try:
            return cls.model_validate(given)
        except ValidationError as error:
            raise SettingsError("\n".join(_sentences(error, given))) from error


def _sentences(error: ValidationError, given: Mapping[str, str]) -> list[str]:
    lines = []
    for found in error.errors(include_url=False):
        name = str(found["loc"][0])
        field = AgentSettings.model_fields[name.removeprefix(AGENT_PREFIX).lower()]
        if name not in given:
            lines.append(f"{name} is not set: {field.description} The chart sets it.")
            continue
        rule = found["msg"].removeprefix("Value error, ")
        for pattern, words in _MEANINGS.items():
            rule = rule.replace(f"String should match pattern '{pattern}'", f"write {words}")
        lines.append(f"{name}={given[name]!r}: {rule}. {field.description}")
    return lines
