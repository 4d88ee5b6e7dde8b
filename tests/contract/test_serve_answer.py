"""What the status room reads is what Ray's dashboard sends."""

import pytest
from ray.serve.schema import (
    ApplicationStatus,
    DeploymentStatus,
    ReplicaState,
    ServeInstanceDetails,
)

from builders.plan_values import model_args
from builders.serve_answers import application, deployment, index, instance, replica
from smallmodel_operator.status.serve import read_applications


def sent(*applications: dict[str, object]) -> str:
    """The answer, checked by Ray and written by it as the dashboard does."""
    details = ServeInstanceDetails.model_validate(instance(*applications))
    return str(details.model_dump_json(exclude_unset=True))


def test_ray_knows_every_field_of_the_answers_that_tests_use() -> None:
    """Ray forbids fields that it does not know, so a builder that invents one fails here."""
    read = read_applications(sent(index(), application()))
    assert [each.name for each in read] == ["_index", "chat"]
    assert read[1].args == model_args("chat")


@pytest.mark.parametrize("word", ApplicationStatus)
def test_every_word_for_an_application_is_read(word: ApplicationStatus) -> None:
    (read,) = read_applications(sent(application(status=word.value)))
    assert read.status == word.value
    assert read.healthy is (word is ApplicationStatus.RUNNING)
    assert read.failed is (word in {ApplicationStatus.DEPLOY_FAILED, ApplicationStatus.UNHEALTHY})


@pytest.mark.parametrize("word", DeploymentStatus)
def test_every_word_for_a_deployment_is_read(word: DeploymentStatus) -> None:
    (read,) = read_applications(
        sent(application(deployments={"Model": deployment(status=word.value)}))
    )
    assert read.failed is (word in {DeploymentStatus.DEPLOY_FAILED, DeploymentStatus.UNHEALTHY})


@pytest.mark.parametrize("state", ReplicaState)
def test_a_replica_counts_when_it_runs(state: ReplicaState) -> None:
    (read,) = read_applications(
        sent(application(deployments={"Model": deployment(replica(state.value))}))
    )
    runs = state in {ReplicaState.RUNNING, ReplicaState.PENDING_MIGRATION}
    assert read.replicas == int(runs)
