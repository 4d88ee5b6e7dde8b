"""An administrator's list of credential plugins is checked before the operator starts."""

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from builders.cluster_profiles import API, provider
from smallmodel_operator.api.credential_providers import CredentialProviders

LIST: TypeAdapter[Any] = TypeAdapter(CredentialProviders)


def listed(name: str = "gke", **config: Any) -> dict[str, Any]:
    return {"name": name, "execConfig": {"apiVersion": API, "command": "/plugins/gke", **config}}


def test_what_the_upstream_library_writes_is_read() -> None:
    # examples/controller-example/plugins/secretreader/provider-config.json, but for the path.
    (found,) = LIST.validate_python([listed(args=None, env=None, provideClusterInfo=True)])
    assert found == provider(provideClusterInfo=True)
    assert (found.exec_config.args, found.exec_config.env) == ((), ())


def test_a_program_may_have_arguments_and_variables() -> None:
    variable = {"name": "AWS_REGION", "value": "eu-central-1"}
    (found,) = LIST.validate_python([listed(args=["--cluster", "a"], env=[variable])])
    assert found.exec_config.args == ("--cluster", "a")
    assert [(one.name, one.value) for one in found.exec_config.env] == [
        ("AWS_REGION", "eu-central-1")
    ]


WRONG: dict[str, tuple[Any, str]] = {
    "a program that is looked for": ([listed(command="gke")], "'gke' is not a whole path"),
    "the operator's own variable": (
        [listed(env=[{"name": "KUBERNETES_EXEC_INFO", "value": "{}"}])],
        "is written by the operator for each run",
    ),
    "two of one name": ([listed(), listed()], "two providers are called gke"),
    "an older exchange": (
        [listed(apiVersion="client.authentication.k8s.io/v1beta1")],
        "apiVersion",
    ),
    "arguments out of profiles": (
        [listed() | {"profileSourcedCLIArgsPolicy": "Append"}],
        "profileSourcedCLIArgsPolicy",
    ),
    "variables out of profiles": (
        [listed() | {"profileSourcedEnvVarsPolicy": "Replace"}],
        "profileSourcedEnvVarsPolicy",
    ),
}


@pytest.mark.parametrize(("given", "told"), WRONG.values(), ids=WRONG)
def test_a_list_that_cannot_work_is_refused(given: Any, told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        LIST.validate_python(given)
