"""The estimate of llama.cpp's memory, against the unique memory of a real server."""

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from builders.cards import architecture, gguf
from smallmodel_operator.api.modelcard import Architecture, Task
from smallmodel_operator.catalog.sizing import Load, llama_cpp_size

pytestmark = pytest.mark.local

# Runs in a process of its own, so that nothing but the server is measured. The settings are those
# of `smallmodel_serving.runtime.llamacpp`.
_MEASURE = """
import json, sys, urllib.request
import psutil, xllamacpp

def unique():
    # Pages of libraries come and go from this sum with other processes that use them.
    maps = psutil.Process().memory_maps(grouped=False)
    return sum(m.private_clean + m.private_dirty for m in maps if ".so" not in m.path)

path, context, slots, embeds = sys.argv[1], *map(int, sys.argv[2:])
before = unique()
params = xllamacpp.CommonParams()
params.model.path = path
params.n_ctx, params.n_parallel = context * slots, slots
params.cache_ram_mib, params.fit_params, params.warmup = 0, False, False
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 2
params.embedding = bool(embeds)
server = xllamacpp.Server(params)
text = "hi " * min(1500, context - 12)
completion = {"prompt": text, "max_tokens": 8, "ignore_eos": True}
request = urllib.request.Request(
    server.listening_address + ("/v1/embeddings" if embeds else "/v1/completions"),
    json.dumps({"input": text} if embeds else completion).encode(),
    {"content-type": "application/json"},
)
usage = json.load(urllib.request.urlopen(request, timeout=100))["usage"]
print(json.dumps({"before": before, "after": unique(), "prompt": usage["prompt_tokens"]}))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Unique bytes of a process before it loaded a model, and after a long prompt."""

    before: int
    after: int
    prompt: int


def measure(path: Path, load: Load, *, embeds: bool = False) -> Measured:
    numbers = (str(load.context_length), str(load.slots), str(int(embeds)))
    ended = subprocess.run(
        [sys.executable, "-c", _MEASURE, str(path), *numbers],
        check=True,
        capture_output=True,
        text=True,
        timeout=110,
    )
    return Measured(**json.loads(ended.stdout.splitlines()[-1]))


def estimate(path: Path, shape: Architecture, task: Task, load: Load, measured: Measured) -> int:
    size = llama_cpp_size(shape, task, gguf(size=path.stat().st_size), load)
    # The measured process is a bare one, not the Serve replica that `size.process` stands for.
    return size.total - size.process + measured.before


def private_copy(path: Path, folder: Path) -> Path:
    """Return a copy that no other process maps: shared pages would not count as unique."""
    return Path(shutil.copyfile(path, folder / path.name))


@pytest.mark.parametrize(("context", "slots"), [(2048, 1), (4096, 4), (8192, 2)])
def test_the_estimate_is_never_below_what_llama_cpp_uses_and_within_15_percent(
    bundled_gguf: Path, tmp_path: Path, context: int, slots: int
) -> None:
    path, load = private_copy(bundled_gguf, tmp_path), Load(context_length=context, slots=slots)

    measured = measure(path, load)

    assert measured.prompt > 512, "the prompt must fill a whole step"
    estimated = estimate(path, architecture(), Task.CHAT, load, measured)
    assert measured.after <= estimated <= 1.15 * measured.after


def test_the_estimate_holds_for_an_encoder_that_embeds(minilm_gguf: Path, tmp_path: Path) -> None:
    path, load = private_copy(minilm_gguf, tmp_path), Load(context_length=512, slots=4)
    minilm = architecture(
        name="BertModel",
        parameters=22_713_216,
        layers=6,
        heads=12,
        kv_heads=(12,),
        head_dim=32,
        hidden=384,
        vocabulary=30_522,
    )

    measured = measure(path, load, embeds=True)

    assert measured.prompt >= 500, "the text must fill a whole step"
    estimated = estimate(path, minilm, Task.EMBEDDING, load, measured)
    assert measured.after <= estimated <= 1.15 * measured.after
