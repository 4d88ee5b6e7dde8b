"""The Serve config of a pool, laid out for reading: Ray gets the same as one line."""

import json

import pytest
import yaml

from builders.plan_values import model_args, planned_model, pool
from smallmodel_operator.api.modelcard import Task
from smallmodel_operator.api.serving import VllmArgs
from smallmodel_operator.api.smallmodel import Scaling
from smallmodel_operator.plan.pool import Pool
from smallmodel_operator.plan.serve import ServeFront, build_serve_config, dump_serve_config
from smallmodel_operator.plan.timeouts import StackTimeouts
from support.golden import check_golden

FRONT = ServeFront(host="127.0.0.1", port=8000, timeouts=StackTimeouts(request=600, drain=5))
VLLM = VllmArgs(arguments=("--max-model-len=2048",), environment={"HF_HUB_OFFLINE": "1"})
POOLS = {
    "no-model": Pool(models=()),
    "one-model": pool("chat"),
    "two-engines": Pool(
        models=(
            planned_model("chat", verified=True, scaling=Scaling(min_replicas=1)),
            planned_model("embed", args=model_args("embed", task=Task.EMBEDDING, engine=VLLM)),
        )
    ),
}


@pytest.mark.parametrize("case", POOLS)
def test_the_serve_config_is_as_it_was(case: str) -> None:
    text = dump_serve_config(build_serve_config(POOLS[case], FRONT))

    check_golden(f"plan/serve/{case}.yaml", yaml.safe_dump(json.loads(text), sort_keys=True))
