"""What the embedded Serve says of an application is read as the REST answer is."""

from ray.serve.schema import (
    ApplicationStatus,
    ApplicationStatusOverview,
    DeploymentStatus,
    DeploymentStatusOverview,
    DeploymentStatusTrigger,
)

from smallmodel_operator.local.ray_serve import read_overview


def overview(word: DeploymentStatus = DeploymentStatus.HEALTHY) -> ApplicationStatusOverview:
    return ApplicationStatusOverview(
        status=ApplicationStatus.RUNNING,
        message="",
        last_deployed_time_s=12.5,
        deployments={
            "Model": DeploymentStatusOverview(
                status=word,
                status_trigger=DeploymentStatusTrigger.CONFIG_UPDATE_COMPLETED,
                replica_states={"RUNNING": 2, "STARTING": 1},
                message="Error: ray::X",
            )
        },
    )


def test_replicas_that_run_are_counted_and_the_target_stays_unknown() -> None:
    read = read_overview("chat", overview())
    assert (read.name, read.status, read.replicas, read.target_replicas) == (
        "chat", "RUNNING", 2, None,
    )  # fmt: skip
    assert (read.healthy, read.failed, read.deployed_at) == (True, False, 12.5)
    assert read.message == "Error:"


def test_a_deployment_that_is_ill_fails_its_application() -> None:
    assert read_overview("chat", overview(DeploymentStatus.UNHEALTHY)).failed
