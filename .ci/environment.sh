# Shared by ./quickstart and ./run-tests (sourced): system packages, the virtual environment, and
# steps that log to a file. Everything made lies under build/.
# shellcheck shell=bash

readonly ROOT
BUILD_DIR="$ROOT/build"
LOG_DIR="$BUILD_DIR/logs"
VENV="$BUILD_DIR/venv"
JOBS="${FDPSTORE_JOBS:-$(nproc)}"
# What one build directory compiled serves another of the same flags, -Werror aside.
export CCACHE_BASEDIR="$ROOT" CCACHE_IGNOREOPTIONS=-Werror

readonly BUILD_PACKAGES=(
  g++ cmake ninja-build pkg-config ccache
  liburing-dev libblkid-dev libxxhash-dev libfmt-dev libspdlog-dev
  libnvme-dev libjson-c-dev libssl-dev # the last two: named by libnvme's pkg-config file
  libboost-filesystem1.81-dev libboost-program-options1.81-dev libboost-json1.81-dev
  python3 python3-dev python3-venv pybind11-dev
)
readonly TEST_PACKAGES=(
  libgtest-dev libgmock-dev libbenchmark-dev clang-format-19 clang-tidy-19 clang-19 libclang-rt-19-dev mount e2fsprogs xfsprogs util-linux
)

die() { printf '%s: %s\n' "${0##*/}" "$1" >&2; exit "${2:-1}"; }

# missing_packages <package>…: those that are not installed.
missing_packages() {
  local state package
  local -A installed=()
  while read -r state package; do
    [[ $state == installed ]] && installed[$package]=1
  done < <(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "$@" 2>/dev/null)
  for package in "$@"; do
    [[ ${installed[$package]:-} ]] || printf '%s\n' "$package"
  done
}

# need_packages <package>…: installs what is missing; without root says how, and exits with 2.
need_packages() {
  local missing
  if ! command -v dpkg-query >/dev/null; then
    printf 'Not a Debian system: what Debian calls %s must be installed.\n' "$*"
    return 0
  fi
  mapfile -t missing < <(missing_packages "$@")
  [[ ${#missing[@]} -eq 0 ]] && return 0
  if [[ $EUID -ne 0 ]]; then
    die "packages are missing; run this, then try again:
  sudo apt-get update && sudo apt-get install -y --no-install-recommends ${missing[*]}" 2
  fi
  printf 'installing %s\n' "${missing[*]}"
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
}

# The system's Python (its headers come from python3-dev), else the one in PATH.
system_python() {
  local python
  for python in /usr/bin/python3 python3; do
    if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      command -v "$python"
      return 0
    fi
  done
  die "Python 3.11 or newer is needed (Debian 12 has it)" 2
}

# The virtual environment with LMCache; made again only when the requirements change.
need_venv() {
  local requirements="$ROOT/tests/python/requirements.txt"
  local no_deps="$ROOT/tests/python/requirements-no-deps.txt"
  local python key stamp="$VENV/fdpstore-requirements"
  python=$(system_python)
  key=$(cat "$requirements" "$no_deps" <("$python" -VV) | sha256sum)
  [[ -f $stamp && $(<"$stamp") == "$key" ]] && return 0
  printf 'installing Python packages into %s\n' "$VENV"
  "$python" -m venv --clear "$VENV"
  local pip=("$VENV/bin/python" -m pip install --disable-pip-version-check --no-input)
  "${pip[@]}" -r "$requirements"
  "${pip[@]}" --no-deps -r "$no_deps"
  "$VENV/bin/python" -c 'import lmcache.v1.distributed.storage_manager'
  printf '%s' "$key" >"$stamp"
}

# elapsed <seconds>: as m:ss.
elapsed() { printf '%d:%02d' $(($1 / 60)) $(($1 % 60)); }
