# Read by the scripts beside it (bash, `set -euo pipefail`): where the project lies, how it is
# compiled, and what Open MPI must be told on this machine. Not run by itself.

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
program=$root/.build/release/repvgg

# The packages of Debian that the program is built from and run with.
packages=(
  libopenmpi-dev openmpi-bin libopenblas-dev libyaml-dev zlib1g-dev libssl-dev
  libzip-dev libjpeg62-turbo-dev libpng-dev
  dataset-fashion-mnist
  # What the fault campaign strikes with.
  strace faketime util-linux
  # What makes the hosts of the lab.
  iproute2
)

# One set of flags for the program and its tests, so that the tested binary is the shipped one and
# nothing compiles twice: tests reach the internals of a room, which takes -enable-testing.
build_flags=(--package-path "$root" -c release -Xswiftc -enable-testing)
strict_flags=(-Xswiftc -warnings-as-errors --explicit-target-dependency-import-check error)

# Has the build flags watch memory (`address`) or data races (`thread`) with kernels that check their
# bounds, in a directory of its own: $1 is the name.
use_sanitizer() {
  case $1 in
    address | thread) ;;
    *) usage_error "--sanitize needs address or thread, not $1" ;;
  esac
  build_flags+=(--sanitize="$1" --scratch-path "$root/.build/$1")
  export REPVGG_CHECKED=1
}

# One line: what, where, how to mend.
fail() {
  printf '%s: %s\n' "${0##*/}" "$*" >&2
  exit 1
}

usage_error() {
  printf '%s: %s (see launch/%s --help)\n' "${0##*/}" "$1" "${0##*/}" >&2
  exit 64
}

say() { printf '\n==> %s\n' "$*"; }

# Prints a command so that a shell reads it back unchanged.
show_command() {
  local word line=
  for word in "$@"; do
    if [[ $word =~ ^[A-Za-z0-9_./=,:+@%-]+$ ]]; then line+=" $word"; else line+=" ${word@Q}"; fi
  done
  printf '%s\n' "${line# }"
}

is_positive_number() { [[ $1 =~ ^[1-9][0-9]{0,5}$ ]]; }

# Puts a toolchain on the PATH that is installed but not named there.
find_swift() {
  if command -v swift >/dev/null; then return; fi
  local place
  local places=("${SWIFT_HOME:-}/usr/bin" /opt/swift/usr/bin "${HOME:-}/.local/share/swiftly/bin")
  for place in "${places[@]}"; do
    if [[ -x $place/swift ]]; then
      export PATH=$place:$PATH
      return
    fi
  done
  fail "no swift on the PATH; install the Swift 6.3 toolchain from https://swift.org/install" \
    "and add its usr/bin to the PATH, or name its directory in SWIFT_HOME"
}

require_program() {
  [[ -x $program ]] || fail "$program is not built; run $root/launch/build"
}

# Sets `mpi_environment` (NAME=VALUE words) for $1 ranks of $2 threads on this machine.
set_mpi_environment() {
  local ranks=$1 threads=$2
  mpi_environment=(
    # The program has threads of its own, each of which calls OpenBLAS.
    OPENBLAS_NUM_THREADS=1
  )
  # Waiting ranks would otherwise take the cores from those that compute.
  if ((ranks * threads > $(env -u OMP_NUM_THREADS -u OMP_THREAD_LIMIT nproc))); then
    mpi_environment+=(OMPI_MCA_mpi_yield_when_idle=1)
  fi
  if ((EUID == 0)); then
    mpi_environment+=(OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1)
  fi
}
