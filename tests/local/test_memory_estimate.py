"""The estimate of llama.cpp's memory, against the unique memory of a real server."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from builders.cards import architecture, gguf
from smallmodel_operator.api.modelcard import Task
from smallmodel_operator.catalog.sizing import Load, llama_cpp_size

# Runs in a process of its own, so that nothing but the server is measured. The settings are those
# of `smallmodel_serving.runtime.llamacpp`.
_MEASURE = """
import json, sys, urllib.request
import psutil, xllamacpp

def unique():
    # Pages of libraries come and go from this sum with other processes that use them.
    maps = psutil.Process().memory_maps(grouped=False)
    return sum(m.private_clean + m.private_dirty for m in maps if ".so" not in m.path)


path, context, slots = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
before = unique()
params = xllamacpp.CommonParams()
params.model.path = path
params.n_ctx, params.n_parallel = context * slots, slots
params.cache_ram_mib, params.fit_params, params.warmup = 0, False, False
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 2
server = xllamacpp.Server(params)
body = {"prompt": "hi " * 1500, "max_tokens": 16, "ignore_eos": True}
request = urllib.request.Request(
    server.listening_address + "/v1/completions",
    json.dumps(body).encode(),
    {"content-type": "application/json"},
)
usage = json.load(urllib.request.urlopen(request, timeout=60))["usage"]
after = unique()
print(json.dumps({"before": before, "after": after, "prompt": usage["prompt_tokens"]}))
"""


@pytest.fixture(scope="module")
def private_gguf(bundled_gguf: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the model that no other process maps: shared pages would not count as unique."""
    copy = tmp_path_factory.mktemp("weights") / bundled_gguf.name
    shutil.copyfile(bundled_gguf, copy)
    return copy


@pytest.mark.local
@pytest.mark.parametrize(("context", "slots"), [(2048, 1), (4096, 4), (8192, 2)])
def test_the_estimate_is_never_below_what_llama_cpp_uses_and_within_15_percent(
    private_gguf: Path, context: int, slots: int
) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", _MEASURE, str(private_gguf), str(context), str(slots)],
        check=True,
        capture_output=True,
        text=True,
        timeout=100,
    )
    measured = json.loads(ended.stdout.splitlines()[-1])
    size = llama_cpp_size(
        architecture(),
        Task.CHAT,
        gguf(size=private_gguf.stat().st_size),
        Load(context_length=context, slots=slots),
    )
    # This process is a bare one, not the Serve replica that `size.process` stands for.
    estimated = size.total - size.process + measured["before"]

    assert measured["prompt"] > 512, "the prompt must fill a whole step"
    assert measured["after"] <= estimated <= 1.15 * measured["after"]
