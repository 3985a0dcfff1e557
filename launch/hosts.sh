# Read by launch/train (bash, `set -euo pipefail`, beside environment.sh): the hosts of a job, how mpirun
# is told of them, and which of them still answer. Not run by itself.

# What starts a command on another host: ssh, or what Open MPI's own setting names.
host_agent=${OMPI_MCA_plm_rsh_agent:-ssh}
# The first of several, as Open MPI lists them: `ssh : rsh`.
host_agent=${host_agent%% : *}

# What the program says of the hosts $1, laid out for $2 ranks, without the hosts in the list $3. Sets
# `host_argument`, `ranks` and `most_ranks` (of one host).
lay_out_ranks() {
  local words=("$program" hosts --json)
  if [[ -n $2 ]]; then words+=(--ranks "$2"); fi
  if [[ -n ${3:-} ]]; then words+=(--without "$3"); fi
  local answer code=0
  answer=$("${words[@]}" -- "$1") || code=$?
  ((code == 0)) || exit "$code"
  host_argument=$(json_value mpirun_hosts <<<"$answer")
  # Of the whole job first, then of each host.
  read -r ranks < <(json_value ranks <<<"$answer")
  most_ranks=$(json_value most_ranks_on_a_host <<<"$answer")
  mapfile -t host_names < <(json_value host <<<"$answer")
}

# The values of the key $1 in JSON of one key a line or several, in order.
json_value() { grep -o "\"$1\": *\(\"[^\"]*\"\|[0-9]*\)" | sed 's/^[^:]*: *//; s/"//g'; }

# Whether $1 is this host, with its domain or without.
is_here() { [[ $1 == localhost || ${1%%.*} == "$(uname -n | sed 's/\..*//')" ]]; }

# Ends where a host's name is not known: mpirun would say so in twenty lines.
require_known_hosts() {
  local name
  for name in "${host_names[@]}"; do
    is_here "$name" || getent ahosts "$name" >/dev/null && continue
    # A name of ssh's own configuration.
    if [[ ${host_agent%% *} == *ssh ]] && command -v ssh >/dev/null \
      && [[ $(ssh -G "$name" 2>/dev/null | sed -n 's/^hostname //p') != "$name" ]]; then continue; fi
    local file=
    if [[ $hosts == "$name" ]]; then file=', and there is no file of that name'; fi
    printf 'train: host %s has no address%s; mend its name in --hosts, or in /etc/hosts\n' \
      "$name" "$file" >&2
    exit 78
  done
}

# Whether host $1 can be reached and takes commands, within some seconds.
answers() {
  local agent reason
  if is_here "$1"; then return; fi
  read -r -a agent <<<"$host_agent"
  if [[ ${agent[0]##*/} == ssh ]]; then
    agent+=(-o BatchMode=yes -o ConnectTimeout=5)
  elif [[ ${agent[0]##*/} != srun ]]; then
    # Another agent may not need the network that the ranks do. A port that nobody listens on is refused
    # by a host that is there. Slurm knows its nodes itself, and they may filter that port.
    reason=$(LC_ALL=C timeout 5 bash -c "exec 3<>/dev/tcp/$1/22" 2>&1) \
      || [[ $reason == *refused* ]] || return 1
  fi
  timeout 10 "${agent[@]}" "$1" true </dev/null >/dev/null 2>&1
}

# Sets `silent_hosts` to the list of those that do not answer.
find_silent_hosts() {
  local name
  silent_hosts=
  for name in "${host_names[@]}"; do
    if ! answers "$name"; then silent_hosts+=${silent_hosts:+,}$name; fi
  done
}

# Words for mpirun.
host_words() {
  mpi_words=(--map-by slot --host "$host_argument")
  # A host that falls silent is given up within half a minute, not a quarter of an hour. What the
  # environment says itself holds.
  local setting
  for setting in time:10 intvl:5 probes:3; do
    local name=oob_tcp_keepalive_${setting%:*} variable
    variable=OMPI_MCA_$name
    if [[ -z ${!variable:-} ]]; then mpi_words+=(--mca "$name" "${setting#*:}"); fi
  done
  if [[ -n $interface ]]; then
    mpi_words+=(--mca btl_tcp_if_include "$interface" --mca oob_tcp_if_include "$interface")
  fi
  # Open MPI's own variables go to the other hosts by themselves.
  local entry
  for entry in "${mpi_environment[@]}"; do
    if [[ $entry != OMPI_* ]]; then mpi_words+=(-x "${entry%%=*}"); fi
  done
}
