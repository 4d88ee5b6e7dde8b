#!/usr/bin/env bash
# Removes from a virtual environment what no pod runs, and compiles the rest: on a read-only root
# Python could not keep what it compiles, and would do it again at each start.
set -euo pipefail

prefix=$1
cd "$prefix"/lib/python3*/site-packages

# Packages are never added to an image that is built, so the installers go. Of Ray: its Java client
# and its reinforcement learning.
rm -rf pip setuptools pip-*.dist-info setuptools-*.dist-info \
  "$prefix"/bin/{pip,pip3,pip3.*,activate,activate.*,Activate.ps1} \
  ray/jars ray/cpp ray/rllib
find . -type d -name tests -path './numpy/*' -prune -exec rm -rf {} +

# Envoy's start script would keep a Python process's start before each Envoy.
if [[ -x envoy/_bin/envoy ]]; then
  ln -sf "$PWD/envoy/_bin/envoy" "$prefix/bin/envoy"
fi

# Unchecked: the files never change, and their times may when layers are packed.
"$prefix/bin/python" -m compileall -q -j 0 --invalidation-mode unchecked-hash .
