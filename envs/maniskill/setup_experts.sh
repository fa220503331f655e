#!/usr/bin/env bash
# Makes .venv-experts: the environment in which ManiSkill's motion planner runs (expert policy, demonstrations).
#
#   ./envs/maniskill/setup_experts.sh
#   .venv-experts/bin/python -m train.demos --suite maniskill5 --per-task 100
#   .venv-experts/bin/python -m envs.run --suite maniskill5_wide --policy expert
#
# mplib's wheels crash under NumPy 2, which the benchmark asks for otherwise, and later wheels of pyarrow need it.
# VENV=<folder> puts it elsewhere.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

VENV=${VENV:-.venv-experts}
TORCH=2.13.0
CPU_INDEX=https://download.pytorch.org/whl/cpu
PINS=(numpy==1.26.4 opencv-python==4.11.0.86 toppra==0.6.10 mplib==0.1.1 mani-skill==3.0.1 sapien==3.0.3 pyarrow==22.0.0)

command -v python3.11 >/dev/null || { echo "error: mplib has wheels up to Python 3.11: install python3.11" >&2; exit 1; }
[[ -x $VENV/bin/python ]] || python3.11 -m venv "$VENV"
if ! "$VENV/bin/python" -c "import torch" 2>/dev/null; then
    if "$VENV/bin/pip" index versions torch 2>/dev/null | grep -qF "$TORCH+cpu"; then
        "$VENV/bin/pip" install --quiet "torch==$TORCH+cpu"
    else
        "$VENV/bin/pip" install --quiet --index-url "$CPU_INDEX" "torch==$TORCH"
    fi
fi
# The benchmark's own requirements, but for NumPy's.
mapfile -t needed < <("$VENV/bin/python" - <<'PYTHON'
import tomllib

project = tomllib.load(open("pyproject.toml", "rb"))["project"]
extras = project["optional-dependencies"]
for line in project["dependencies"] + extras["torch"] + extras["sim-maniskill"]:
    if not line.startswith(("numpy", "torch>", "mani-skill", "sapien", "pyarrow")):
        print(line)
PYTHON
)
"$VENV/bin/pip" install --quiet "${PINS[@]}" "${needed[@]}"
"$VENV/bin/pip" install --quiet --no-deps -e .
"$VENV/bin/python" -c "
import mani_skill, train.demos, envs.maniskill.expert as expert
expert.check_planner()
print('ready: $VENV/bin/python -m train.demos --suite maniskill5')"
