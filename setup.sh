#!/usr/bin/env bash
# Prepares this checkout on Debian or Ubuntu; doing it twice is quick and harmless.
#
#   ./setup.sh         virtual environment .venv, packages, libraries for rendering without a display
#   ./setup.sh run     the same, then evaluates the shipped policy (more options go to envs.run)
#   ./setup.sh test    the same, then all checks and tests
#
# VENV=<folder> puts the virtual environment elsewhere.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

TORCH=2.13.0
MUJOCO=4.0.0 # the one of the committed records: the version is part of the protocol
CPU_INDEX=https://download.pytorch.org/whl/cpu
VENV=${VENV:-.venv}
SYSTEM_PACKAGES=(libegl1 libegl-mesa0 libgl1 libopengl0 libgl1-mesa-dri)

say() { printf '== %s\n' "$*"; }
fail() { printf 'error: %s\n' "$*" >&2; exit 1; }

# Runs apt-get as root, or says what to run.
install_system_packages() {
    command -v apt-get >/dev/null || fail "please install what these Debian packages hold, then run this again: $*"
    [[ $(id -u) == 0 ]] || fail "please run: sudo apt-get update && sudo apt-get install -y $*   Then run this again."
    say "installing system packages: $*"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq </dev/null
    apt-get install -y -qq --no-install-recommends "$@" </dev/null
}

find_python() {
    local candidate
    for candidate in python3.11 python3.12 python3.13 python3; do
        if "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null; then
            printf '%s\n' "$candidate"
            return
        fi
    done
    fail "no Python 3.11, 3.12 or 3.13 found on PATH. Install one, for instance: sudo apt-get install python3.11 python3.11-venv"
}

make_venv() {
    local python version
    python=$(find_python)
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        version=$("$python" -c 'import sys; print("{}.{}".format(*sys.version_info))')
        install_system_packages "python$version-venv"
    fi
    say "making $VENV with $("$python" --version)"
    "$python" -m venv "$VENV"
}

# A CPU build where there is no CUDA: a tenth of the size. Some package sources offer one under the local version
# "+cpu"; elsewhere it comes from PyTorch's own index.
install_torch() {
    if [[ $(uname -s) != Linux ]] || { command -v nvidia-smi >/dev/null && nvidia-smi -L >/dev/null 2>&1; }; then
        say "installing torch $TORCH"
        "$VENV/bin/pip" install --quiet "torch==$TORCH"
    elif "$VENV/bin/pip" index versions torch 2>/dev/null | grep -qF "$TORCH+cpu"; then
        say "installing torch $TORCH+cpu"
        "$VENV/bin/pip" install --quiet "torch==$TORCH+cpu"
    else
        say "installing torch $TORCH+cpu from $CPU_INDEX"
        "$VENV/bin/pip" install --quiet --index-url "$CPU_INDEX" "torch==$TORCH+cpu"
    fi
}

# install_packages EXTRAS [SUFFIX]: once for every state of pyproject.toml and this file; the suffix names the mark.
install_packages() {
    local wanted mark=$VENV/.installed${2:-}
    wanted=$(cat pyproject.toml setup.sh | cksum)
    if [[ -f $mark && $(cat "$mark") == "$wanted" ]]; then
        return
    fi
    "$VENV/bin/python" -c "import sys, torch; sys.exit(torch.__version__.split('+')[0] != '$TORCH')" 2>/dev/null ||
        install_torch
    say "installing the benchmark and its packages"
    "$VENV/bin/pip" install --quiet -e ".[$1]" "mujoco==$MUJOCO"
    printf '%s\n' "$wanted" >"$mark"
}

# What the benchmark does all the time: render a picture without a display.
renders() {
    MUJOCO_GL=${MUJOCO_GL:-egl} "$VENV/bin/python" - 2>"$VENV/rendering.log" <<'PYTHON'
import mujoco

model = mujoco.MjModel.from_xml_string(
    "<mujoco><worldbody><light pos='0 0 3'/><geom type='sphere' size='.5'/></worldbody></mujoco>"
)
data = mujoco.MjData(model)
mujoco.mj_forward(model, data)
with mujoco.Renderer(model, 64, 64) as renderer:
    renderer.update_scene(data)
    assert renderer.render().max() > 0, "the picture is black"
PYTHON
}

# Says which library is missing, by what the dynamic linker finds.
missing_libraries() {
    "$VENV/bin/python" - <<'PYTHON'
import ctypes

for name in ("libEGL.so.1", "libEGL_mesa.so.0", "libOpenGL.so.0", "libGL.so.1"):
    try:
        ctypes.CDLL(name)
    except OSError:
        print(name, end=" ")
PYTHON
}

set_up() {
    "$VENV/bin/python" -m pip --version >/dev/null 2>&1 || make_venv
    install_packages sim-mujoco,torch,dev
    if [[ $(uname -s) == Linux ]] && ! renders; then
        say "no picture without a display yet; missing libraries: $(missing_libraries)"
        install_system_packages "${SYSTEM_PACKAGES[@]}"
        if ! renders; then
            cat "$VENV/rendering.log" >&2
            fail "rendering still does not work. Another way: apt-get install libosmesa6, then MUJOCO_GL=osmesa $0"
        fi
    fi
}

run_tests() {
    local bin
    install_packages sim-mujoco,sim-maniskill,torch,dev,qwen .tests
    bin=$(cd "$VENV/bin" && pwd)
    export OMP_NUM_THREADS=1 # two test processes on two cores
    say "style"
    "$bin/ruff" check .
    "$bin/ruff" format --check .
    say "types"
    "$bin/mypy"
    say "leaderboard"
    "$bin/python" -m results.leaderboard --check
    say "ManiSkill"
    "$bin/python" -m envs.maniskill.check || say "ManiSkill's tests on the simulator are skipped"
    say "tests"
    "$bin/python" -m pytest -n 2 --dist loadfile
}

case ${1:-} in
"") set_up; say "ready: $VENV/bin/python -m envs.run --suite rlbench18 --policy drifting --quick" ;;
run) set_up; shift; exec "$VENV/bin/python" -m envs.run --suite rlbench18 --policy drifting --quick --workers 2 "$@" ;;
test) set_up; run_tests ;;
*)
    printf 'error: unknown command %s. Use %s, %s run or %s test.\n' "$1" "$0" "$0" "$0" >&2
    exit 2
    ;;
esac
