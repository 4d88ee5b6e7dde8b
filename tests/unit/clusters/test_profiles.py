"""A ClusterProfile says where a cluster is, and chooses among the administrator's programs."""

from typing import Any

import pytest

from builders.cluster_profiles import SERVER, access, profile, provider
from builders.kubeconfigs import encoded, pair
from smallmodel_operator.clusters.credentials import Credentials
from smallmodel_operator.clusters.profiles import ProfileRefused, read_profile
from smallmodel_operator.clusters.ref import Manifest

GKE, EKS = provider(), provider("/plugins/eks", name="eks")


def test_it_gives_the_address_and_what_the_server_is_believed_by() -> None:
    authority = encoded(pair().certificate)
    cluster = {"certificate-authority-data": authority, "tls-server-name": "kubernetes"}
    found = read_profile(profile(access(**cluster)), [GKE])
    assert found.provider == GKE
    assert found.where == Credentials(
        server=SERVER, authority=pair().certificate.decode(), server_name="kubernetes"
    )
    assert found.cluster == {"server": SERVER, **cluster}


def test_the_administrators_order_decides_and_not_the_profiles() -> None:
    manifest = profile(access("gke"), access("eks"))
    assert read_profile(manifest, [EKS, GKE]).provider == EKS
    assert read_profile(manifest, [GKE, EKS]).provider == GKE


def test_the_older_field_is_read_and_gives_way_to_the_newer_one() -> None:
    older = [access("gke", server="https://older.example.com"), access("eks")]
    manifest = profile(access("gke"), credentialProviders=older)
    assert read_profile(manifest, [GKE]).where.server == SERVER
    assert read_profile(manifest, [EKS]).provider == EKS


def test_what_is_meant_for_the_program_is_kept_and_arguments_are_not() -> None:
    extensions = [
        {"name": "clusterprofiles.multicluster.x-k8s.io/exec/additional-args", "extension": ["-x"]},
        {"name": "client.authentication.k8s.io/exec", "extension": {"clusterName": "edge"}},
    ]
    found = read_profile(profile(access(extensions=extensions)), [GKE])
    assert found.cluster == {"server": SERVER, "config": {"clusterName": "edge"}}


WRONG: dict[str, tuple[Manifest, str]] = {
    "no status": (profile() | {"status": None}, "lists no provider in status.accessProviders"),
    "others": (profile(access("oidc")), "lists oidc .* was installed with gke"),
    "not a list": (profile(accessProviders={"name": "gke"}), "has status.accessProviders"),
    "no name": (profile({"cluster": {}}), "has status.accessProviders.0.name"),
    "no server": (profile({"name": "gke"}), "has the server None"),
    "no TLS": (profile(access(server="http://edge")), "has the server 'http://edge', and a token"),
    "no host": (profile(access(server="https://")), "has a server that is not https"),
    "no PEM": (
        profile(access(**{"certificate-authority-data": encoded(b"nothing")})),
        "without a certificate as PEM; have the cluster manager",
    ),
    "no base64": (profile(access(**{"certificate-authority-data": "%"})), "is not base64"),
    "a path": (profile(access(**{"certificate-authority": "/etc/passwd"})), "the operator's own"),
    "not verified": (profile(access(**{"insecure-skip-tls-verify": True})), "anybody on the way"),
    "a proxy": (profile(access(**{"proxy-url": "http://x"})), "the proxy would see the calls"),
    "extensions of another kind": (profile(access(extensions=[1])), "has extensions that are no"),
    "extensions that are a number": (profile(access(extensions=1)), "has extensions that are no"),
}


@pytest.mark.parametrize(("manifest", "told"), WRONG.values(), ids=WRONG)
def test_a_profile_that_cannot_be_used_is_refused(manifest: Manifest, told: str) -> None:
    with pytest.raises(ProfileRefused, match=told) as refused:
        read_profile(manifest, [GKE])
    assert "ClusterProfile fleet/edge" in str(refused.value)


def test_a_long_value_is_told_by_its_beginning() -> None:
    wrong: Any = "x" * 5000
    with pytest.raises(ProfileRefused) as refused:
        read_profile(profile(access(server=wrong)), [GKE])
    assert len(str(refused.value)) < 400
