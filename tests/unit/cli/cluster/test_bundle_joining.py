"""`slm cluster join --mode bundle`: both sides get keys, and nobody calls anybody."""

import copy
import stat

import pytest
import yaml

from builders.gap import JOIN, KEYS, SECRET, Gap, key_in
from builders.kube_objects import HUB
from builders.linked_clusters import cluster_path
from smallmodel_operator.cli.errors import ExitCode
from smallmodel_operator.clusters.signing import SigningKey


def test_join_makes_keys_and_a_secret_for_the_cluster(joined: Gap) -> None:
    hub, secret = joined.hub.kube.objects[KEYS], joined.edge.kube.objects[SECRET]

    declared = joined.hub.kube.objects[cluster_path("edge")]
    assert declared["spec"] == {"connection": {"mode": "Bundle"}, "jurisdiction": "DE"}
    assert "/api/v1/namespaces/slm-cluster-edge" in joined.hub.kube.objects
    assert stat.S_IMODE((joined.folder / "secret.yaml").stat().st_mode) == 0o600
    assert (key_in(secret, "hubID"), key_in(secret, "cluster")) == (HUB, "edge")
    assert key_in(secret, "trustedKey") == SigningKey(key_in(hub, "hubKey")).public
    assert key_in(hub, "hubKey") not in str(secret), "the hub's key stays where it is"


def test_joining_again_gives_the_same_keys_again(joined: Gap) -> None:
    before = copy.deepcopy(joined.hub.kube.objects[KEYS])
    done = joined.slm(*JOIN, "--secret-file", "-")
    assert done.code == ExitCode.OK, done.err
    assert joined.hub.kube.objects[KEYS] == before
    assert yaml.safe_load(done.out)["data"] == joined.edge.kube.objects[SECRET]["data"]
    assert key_in(before, "hubKey") not in done.err


def test_a_cluster_that_can_be_reached_is_prepared_at_once(unjoined: Gap) -> None:
    done = unjoined.slm(*JOIN, *unjoined.there)
    assert done.code == ExitCode.OK, done.err
    assert SECRET in unjoined.edge.kube.objects
    spec = unjoined.hub.kube.objects[cluster_path("edge")]["spec"]
    assert spec["connection"]["clusterUID"] == "uid-edge"
    assert "role=Agent,agent.clusterName=edge" in done.err


@pytest.mark.parametrize("words", [(), ("--secret-file", "-", "--server", "https://a")])
def test_join_by_files_asks_what_is_meant(gap: Gap, words: tuple[str, ...]) -> None:
    done = gap.slm(*JOIN, *words)
    assert done.code == ExitCode.USAGE
    assert "--secret-file FILE" in done.err
