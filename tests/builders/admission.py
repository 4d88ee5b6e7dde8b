"""Objects that an API server takes or refuses by their definitions alone, a name for each."""

from builders.placements import model_placement
from builders.yaml_objects import YamlObject, architecture, model_card, small_model, variant
from smallmodel_operator.plan.placements import placement_manifest

SCALING_IN_ORDER = {"minReplicas": 1, "maxReplicas": 1, "idleTimeout": "1h", "parkAfter": "60m"}


def placement(**spec: object) -> YamlObject:
    """A ModelPlacement with those fields of its spec in place of the usual ones."""
    usual = placement_manifest(model_placement())
    return usual | {"spec": usual["spec"] | spec}


def model_cluster(name: str = "a", **spec: object) -> YamlObject:
    """A ModelCluster with those fields."""
    return {
        "apiVersion": "smallmodel.dev/v1alpha1",
        "kind": "ModelCluster",
        "metadata": {"name": name},
        "spec": spec,
    }


def pushed(**secret: object) -> YamlObject:
    """The connection of a cluster that the operator calls."""
    return {"mode": "Push", "kubeconfigSecretRef": {"name": "edge", **secret}}


def profiled() -> YamlObject:
    """That of one that it calls by a ClusterProfile."""
    return {"mode": "Push", "clusterProfileRef": {"name": "edge", "namespace": "fleet"}}


def data_source(**spec: object) -> YamlObject:
    """A DataSource with those fields."""
    return {
        "apiVersion": "smallmodel.dev/v1alpha1",
        "kind": "DataSource",
        "metadata": {"name": "records", "namespace": "team"},
        "spec": spec,
    }


ACCEPTED: dict[str, YamlObject] = {
    "six lines are enough": small_model(),
    "weights may be named directly": small_model(source={"uri": "hf://a/b/c.gguf"}),
    "equal bounds agree": small_model(model="tiny", scaling=SCALING_IN_ORDER),
    "an empty section takes the defaults": small_model(model="tiny", scaling=None, resources={}),
    "a whole number is a quantity": small_model(model="tiny", resources={"cpu": 2}),
    "a text is a quantity": small_model(model="tiny", resources={"memory": "1.5Gi"}),
    "engine arguments are texts": small_model(model="tiny", engineArgs={"n_batch": "256"}),
    "a name may have 40 characters": small_model("a" * 40),
    "a card's name may have dots": small_model(model="qwen2.5-0.5b"),
    "an open card has a variant": model_card(),
    "a closed card has none": model_card(
        variants=[], architecture=None, closed={"reason": "Kept.", "alternatives": ["tiny"]}
    ),
    "layers may differ": model_card(architecture=architecture(kvHeads=[1, 2])),
    "a card may have dots in its name": model_card("qwen2.5-0.5b"),
    "a placement is as the operator writes it": placement_manifest(model_placement()),
    "a cluster needs no field": model_cluster(),
    "a cluster may say all of itself": model_cluster(
        tier="Edge",
        jurisdiction="DE",
        location={"provider": "aws", "region": "eu-central-1"},
        prices={"cpuHour": "0.03", "accelerators": [{"product": "NVIDIA-L4", "hour": "0.8"}]},
        energy={"gridIntensity": 381, "pue": "1.2"},
        network={
            "uplinkMbit": 100,
            "egress": [{"to": "internet", "perGB": "0.09"}],
            "roundTrips": [{"to": "munich", "time": "12.5ms"}],
        },
        gateway={"address": "https://edge.example.com:8443"},
        taints=[{"key": "gpu"}],
    ),
    "a cluster may be called by the operator": model_cluster(connection=pushed()),
    "a cluster may be called by a ClusterProfile": model_cluster(connection=profiled()),
    "a kubeconfig may have another key": model_cluster(connection=pushed(key="config.yaml")),
    "a cluster may be bound to one UID": model_cluster(
        connection={**pushed(), "clusterUID": "0f3c-11"}
    ),
    "a cluster may call the operator": model_cluster(connection={"mode": "Pull"}),
    "the operator's own cluster is local": model_cluster("local", connection={"mode": "Local"}),
    "the operator's own cluster needs no field": model_cluster("local"),
    "a cluster's name may have 51 characters": model_cluster("a" * 51),
    "a gateway may be at an IPv6 address": model_cluster(
        gateway={"address": "https://[fd00::1]:8443"}
    ),
    "a model may read data within bounds": small_model(
        model="tiny",
        data=[{"name": "records", "readPerHour": "36G"}],
        placement={
            "tiers": ["Edge"],
            "maxCostPerHour": "0.5",
            "tolerations": [{"key": "gpu"}],
            "clients": ["munich", "eu-west-1"],
            "maxRoundTrip": "40ms",
        },
    ),
    "data may be bound to a group of countries": data_source(
        residency={"jurisdictions": ["EU", "CH"]}, locations=[{"site": "munich"}]
    ),
    "data needs no field": data_source(),
    "data may lie in a claim": data_source(claim="records.v2", locations=[{"cluster": "munich"}]),
    "data may lie in a bucket": data_source(
        bucket="s3://records.2026-11", locations=[{"cluster": "munich"}]
    ),
    "a bucket's name may be of three characters": data_source(bucket="s3://a-1"),
    "a bucket's name may be of 63 characters": data_source(bucket="s3://" + "a" * 63),
}

REFUSED: dict[str, YamlObject] = {
    "neither model nor source": small_model(engine="Auto"),
    "both model and source": small_model(model="tiny", source={"uri": "hf://a/b"}),
    "a spec is needed": {**small_model(), "spec": None},
    "minReplicas above maxReplicas": small_model(model="a", scaling={"minReplicas": 4}),
    "parkAfter before idleTimeout": small_model(model="a", scaling={"parkAfter": "4m59s"}),
    "idleTimeout after parkAfter's default": small_model(model="a", scaling={"idleTimeout": "2h"}),
    "a number in quotes": small_model(model="a", scaling={"minReplicas": "1"}),
    "a truth value as a number": small_model(model="a", scaling={"minReplicas": True}),
    "a duration without a unit": small_model(model="a", scaling={"idleTimeout": "5"}),
    "a duration as a number": small_model(model="a", scaling={"idleTimeout": 5}),
    "a quantity with an unknown unit": small_model(model="a", resources={"memory": "4GB"}),
    "a quantity as a fraction without quotes": small_model(model="a", resources={"cpu": 0.5}),
    "an engine in small letters": small_model(model="a", engine="vllm"),
    "a context of no use": small_model(model="a", contextLength=1),
    "a name of 41 characters": small_model("a" * 41),
    "a name with a dot": small_model("chat.small"),
    "a name with a capital": small_model("Chat"),
    "an engine argument that is a number": small_model(model="a", engineArgs={"n_batch": 256}),
    "too many engine arguments": small_model(
        model="a", engineArgs={f"a{number}": "" for number in range(33)}
    ),
    "an open card without variants": model_card(variants=[]),
    "a closed card with variants": model_card(closed={"reason": "", "alternatives": ["tiny"]}),
    "a closed card without alternatives": model_card(
        variants=[], closed={"reason": "Kept.", "alternatives": []}
    ),
    "two variants of one name": model_card(variants=[variant(), variant()]),
    "key-value heads of some layers only": model_card(
        architecture=architecture(layers=3, kvHeads=[1, 2])
    ),
    "a card's name of 64 characters": model_card("a" * 64),
    "a placement of more kept replicas than allowed": placement(scaling={"minReplicas": 4}),
    "a placement that parks before it sleeps": placement(scaling={"parkAfter": "4m59s"}),
    "a placement without its weights": placement(weights=None),
    "a placement of workers without a name": placement(worker={"cpu": "1", "memory": "1Gi"}),
    "a cluster that is reached in an unknown way": model_cluster(connection={"mode": "Tin"}),
    "a pushed cluster without a kubeconfig": model_cluster(connection={"mode": "Push"}),
    "a pulled cluster with a kubeconfig": model_cluster(connection={**pushed(), "mode": "Pull"}),
    "a kubeconfig and no mode": model_cluster(connection={"kubeconfigSecretRef": {"name": "edge"}}),
    "a pushed cluster with a kubeconfig and a ClusterProfile": model_cluster(
        connection=pushed() | profiled()
    ),
    "a pulled cluster with a ClusterProfile": model_cluster(
        connection={**profiled(), "mode": "Pull"}
    ),
    "a ClusterProfile and no mode": model_cluster(
        connection={"clusterProfileRef": {"name": "edge", "namespace": "fleet"}}
    ),
    "a ClusterProfile without a namespace": model_cluster(
        connection={"mode": "Push", "clusterProfileRef": {"name": "edge"}}
    ),
    "a kubeconfig without a Secret": model_cluster(
        connection={"mode": "Push", "kubeconfigSecretRef": {"key": "kubeconfig"}}
    ),
    "a kubeconfig at a path": model_cluster(connection=pushed(key="../admin")),
    "the operator's own cluster is called": model_cluster("local", connection=pushed()),
    "a cluster's name of 52 characters": model_cluster("a" * 52),
    "a cluster's name with a dot": model_cluster("edge.munich"),
    "a gateway at no address": model_cluster(gateway={}),
    "a gateway at a host alone": model_cluster(gateway={"address": "edge.example.com"}),
    "a gateway with a path": model_cluster(gateway={"address": "https://edge.example.com/v1"}),
    "a taint without a key": model_cluster(taints=[{"key": ""}]),
    "a taint of an unknown effect": model_cluster(taints=[{"key": "a", "effect": "NoExecute"}]),
    "a cluster in an unknown country": model_cluster(jurisdiction="UK"),
    "electricity below zero": model_cluster(prices={"electricityKWh": "-0.1"}),
    "bytes below zero": model_cluster(network={"egress": [{"to": "a", "perGB": "-1"}]}),
    "a line that carries nothing": model_cluster(network={"uplinkMbit": 0}),
    "a cluster in a group of countries": model_cluster(jurisdiction="EU"),
    "a country in small letters": model_cluster(jurisdiction="de"),
    "a price below zero": model_cluster(prices={"cpuHour": "-1"}),
    "a price as a number": model_cluster(prices={"cpuHour": 0.03}),
    "a price in a currency": model_cluster(prices={"cpuHour": "0.03 USD"}),
    "an absurd price": model_cluster(prices={"cpuHour": "10000000"}),
    "a building that makes energy": model_cluster(energy={"pue": "0.9"}),
    "a grid of no use": model_cluster(energy={"gridIntensity": 2001}),
    "two prices of one product": model_cluster(
        prices={"accelerators": [{"product": "a", "hour": "1"}, {"product": "a", "hour": "2"}]}
    ),
    "two prices to one destination": model_cluster(
        network={"egress": [{"to": "a", "perGB": "1"}, {"to": "a", "perGB": "2"}]}
    ),
    "two round trips to one place": model_cluster(
        network={"roundTrips": [{"to": "a", "time": "1ms"}, {"to": "a", "time": "2ms"}]}
    ),
    "a round trip without a unit": model_cluster(
        network={"roundTrips": [{"to": "a", "time": "12"}]}
    ),
    "a round trip to nowhere": model_cluster(network={"roundTrips": [{"to": "", "time": "12ms"}]}),
    "a bound of round trips without a unit": small_model(
        model="a", placement={"maxRoundTrip": "40"}
    ),
    "clients at a place that is no name": small_model(
        model="a", placement={"clients": ["https://munich"]}
    ),
    "two taints of one key": model_cluster(taints=[{"key": "a"}, {"key": "a", "value": "b"}]),
    "data that is named twice": small_model(model="a", data=[{"name": "b"}, {"name": "b"}]),
    "a tier that does not exist": small_model(model="a", placement={"tiers": ["Moon"]}),
    "a law of no country": data_source(residency={"jurisdictions": []}),
    "a law of an unknown country": data_source(residency={"jurisdictions": ["UK"]}),
    "a location that says nothing": data_source(locations=[{}]),
    "a claim with a capital": data_source(claim="Records"),
    "a claim of another namespace": data_source(claim="other/records"),
    "a claim that ends with a dot": data_source(claim="records."),
    "a claim without a name": data_source(claim=""),
    "a claim and a bucket": data_source(claim="records", bucket="s3://records"),
    "a bucket without its scheme": data_source(bucket="records"),
    "a bucket of another scheme": data_source(bucket="gs://records"),
    "a bucket with a capital": data_source(bucket="s3://Records"),
    "a bucket with a path": data_source(bucket="s3://records/2026"),
    "a bucket with a query": data_source(bucket="s3://records?acl"),
    "a bucket that leads out": data_source(bucket="s3://../secret"),
    "a bucket with two dots together": data_source(bucket="s3://rec..ords"),
    "a bucket that ends with a hyphen": data_source(bucket="s3://records-"),
    "a bucket whose name is too short": data_source(bucket="s3://ab"),
    "a bucket whose name is too long": data_source(bucket="s3://" + "a" * 64),
    "more than all is cached": data_source(cached=[{"cluster": "a", "percent": 101}]),
    "an address without https": model_card(provenance={"card": "http://example.com"}),
}
