#!/bin/bash
# Makes the folder that a machine with a card but without network needs beside a checkout: sklab's own wheel, and those
# of its dependencies that images with torch 2.11, Lightning and pandas for Python 3.12 do not have. 4 MB.
#
#     benchmarks/gpu_wheels.sh FOLDER
set -euo pipefail
[ $# = 1 ] || { echo "usage: $0 FOLDER" >&2; exit 2; }
folder=$(mkdir -p "$1" && cd "$1" && pwd)
cd "$(dirname "$0")/.."
python=${PYTHON:-$([ -x .venv/bin/python ] && echo .venv/bin/python || echo python3)}
packages=(optuna colorlog pydantic pydantic-core annotated-types typing-inspection typing-extensions simplejpeg pytorchcv)

"$python" -m pip download --quiet --disable-pip-version-check --dest "$folder" --no-deps --only-binary :all: \
    --implementation cp --python-version 3.12 --platform manylinux_2_28_x86_64 --platform manylinux_2_17_x86_64 \
    --constraint constraints.txt --constraint <(echo pytorchcv==0.0.74) "${packages[@]}"
PIP_CONSTRAINT=constraints.txt PIP_BUILD_CONSTRAINT=constraints.txt \
    "$python" -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir "$folder" .

cat <<TELL
$folder holds $(find "$folder" -name '*.whl' | wc -l) wheels. Take it and a checkout to the machine; there, in the checkout:

    python -m pip install --no-index --no-deps --find-links $folder ${packages[*]} sklab
    python -m pytest -m gpu tests/gpu && python benchmarks/gpu.py --out gpu-results
TELL
