#!/usr/bin/env bash
# Builds ./dsm and drives its roles through that one file, as a user would: tests/smoke.sh [--no-build]
#
# It runs in an IPC and a network namespace of its own, so that the ports and keys may be the real ones (9740, 9734 1238 1234)
# and nothing on this machine is disturbed. Where namespaces are not allowed it says so, and takes ports and keys of its own.
# Each step prints ok or FAILED with its command. The last line is 'N passed, N failed'; the status is 0 only when none
# failed. It takes at most two minutes, and leaves nothing behind.
set -uo pipefail
cd "$(dirname "$0")/.." || exit
export NO_COLOR=1

if [ "${SMOKE_INNER:-}" = "" ]; then
  if [ "${1:-}" != --no-build ]; then
    if command -v deno >/dev/null; then deno=deno; else deno="npx -y $(grep -oE 'deno@[0-9.]+' README.md | head -n 1)"; fi
    echo "building: $deno task compile"
    $deno task compile || { echo "FAILED $deno task compile"; echo "0 passed, 1 failed"; exit 1; }
  fi
  # with a process namespace besides, whatever is forgotten ends with the script
  for flags in '-inpf --mount-proc --kill-child' '-inrpf --mount-proc --kill-child' -in -inr; do
    # shellcheck disable=SC2086 # several words
    unshare $flags sh -c 'ip link set lo up' 2>/dev/null || continue
    export SMOKE_INNER=namespaces
    # shellcheck disable=SC2086
    exec timeout --kill-after=10 120 unshare $flags sh -c 'ip link set lo up; bash "$0"' "$PWD/tests/smoke.sh"
  done
  export SMOKE_INNER=shared
  exec timeout --kill-after=10 120 bash "$PWD/tests/smoke.sh"
fi

passed=0 failed=0
here=$PWD
work=$(mktemp -d "${TMPDIR:-/tmp}/dsm-smoke.XXXXXX")
export XDG_STATE_HOME=$work/state XDG_CACHE_HOME=$work/cache

finish() {
  [ -e "$XDG_STATE_HOME/dsm/up-$up.json" ] && ./dsm down
  for process in $(jobs -pr); do kill -9 "$process"; done
  wait 2>/dev/null
  if [ "$SMOKE_INNER" = shared ]; then
    for key in "$shm1" "$shm2" "$shm3"; do ipcrm -M "$key" 2>/dev/null; done
    for key in "$sem1" "$sem2" "$sem3"; do ipcrm -S "$key" 2>/dev/null; done
  fi
  rm -rf "$work"
}
trap finish EXIT
trap 'exit 1' INT TERM

if [ "$SMOKE_INNER" = namespaces ]; then
  config=9740 port1=9734 port2=9736 port3=9738 shm1=1238 sem1=1234 shm2=1239 sem2=1235 shm3=1240 sem3=1236
  up=9740 base=9800
else
  echo "namespaces are not allowed here: ports and keys are this run's own, and so is what is checked at the end"
  base=$((20000 + RANDOM % 8000)) # below the kernel's own choice
  config=$base port1=$((base + 2)) port2=$((base + 4)) port3=$((base + 6)) up=$((base + 8)) base=$((base + 10))
  key=$(((RANDOM << 15 | RANDOM) + 65536))
  shm1=$key sem1=$((key + 1)) shm2=$((key + 2)) sem2=$((key + 3)) shm3=$((key + 4)) sem3=$((key + 5))
fi
export DSM_CONFIG=127.0.0.1:$config
region=67108864

# report STATUS COMMAND [OUTPUT]: counts a step.
report() {
  if [ "$1" = 0 ]; then
    passed=$((passed + 1))
    echo "ok      $2"
  else
    failed=$((failed + 1))
    echo "FAILED  $2"
    printf '%s\n' "${3:-}" | sed 's/^/          /'
  fi
}

# expect STATUS OUTPUT COMMAND...: runs it; OUTPUT is a pattern for stdout and stderr together, as case has them.
expect() {
  local status=$1 pattern=$2 output got
  shift 2
  output=$("$@" 2>&1 </dev/null) && got=0 || got=$?
  # shellcheck disable=SC2254 # it is a pattern
  case $got:$output in
    $status:$pattern) report 0 "$*" ;;
    *) report 1 "$*" "exit status $got, expected $status; it said: $output" ;;
  esac
}

# step COMMAND...: runs it; its status is the step's.
step() {
  local output
  if output=$("$@" 2>&1); then report 0 "$*"; else report 1 "$*" "$output"; fi
}

# until_true COMMAND...: looks until it is true, for 10 s.
until_true() {
  local deadline=$((SECONDS + 10))
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -ge $deadline ] && return 1
    sleep 0.02
  done
}

# start LOG PATTERN COMMAND...: starts a daemon and waits for its readiness line. Its pid is in $started.
start() {
  local log=$work/$1.log pattern=$2
  shift 2
  "$@" >"$log" 2>"$log.err" <"$input" &
  started=$!
  if until_true grep -q '^ready ' "$log"; then
    # shellcheck disable=SC2254
    case $(head -n 1 "$log") in
      $pattern) report 0 "$*   -> $(head -n 1 "$log")" ;;
      *) report 1 "$*" "$(cat "$log")" ;;
    esac
  else
    report 1 "$*" "$(cat "$log" "$log.err")"
  fi
}
input=/dev/null

# ends PID STATUS WHAT: waits for a daemon's end, at most 10 s.
ends() {
  local status
  if ! until_true sh -c "! kill -0 $1 2>/dev/null"; then
    report 1 "$3" "it still runs"
    return
  fi
  wait "$1" 2>/dev/null
  status=$?
  [ "$status" = "$2" ]
  report $? "$3" "exit status $status, expected $2"
}

key_gone() { # KEY...: whether none of the keys has an object
  for key in "$@"; do
    awk -v key="$key" '$1 == key { found = 1 } END { exit !found }' /proc/sysvipc/shm /proc/sysvipc/sem && return 1
  done
  return 0
}

# ---- the executable

expect 0 'dsm *' ./dsm --version
expect 0 '*dsm up --local 3*' ./dsm --help
expect 2 '*did you mean server*' ./dsm servr
expect 2 '*--sise*--size*' ./dsm server 0 0 0 --sise 1
expect 1 '*does not answer*' ./dsm client read 0 5
step bash -c './dsm completions bash | bash -n'
(cd / && expect 0 'dsm *' "$here/dsm" --version; echo "$passed $failed" >"$work/count")
read -r passed failed <"$work/count"

# ---- a cluster by hand, as the first ancestor's README has it

printf '3\n127.0.0.1:%s\n127.0.0.1:%s\n127.0.0.1:%s\n' $port1 $port2 $port3 >"$work/config.txt"
start server1 "ready server 127.0.0.1:$port1 shmkey=$shm1 semkey=$sem1 size=$region block=4096 start=fresh*" \
  ./dsm server $port1 $shm1 $sem1
server1=$started
start server2 'ready server *start=fresh*' ./dsm server $port2 $shm2 $sem2
server2=$started
mkfifo "$work/fifo"
exec 9<>"$work/fifo"
input=$work/fifo
start server3 'ready server *start=fresh*' ./dsm server $port3 $shm3 $sem3
server3=$started
input=/dev/null
if [ "$SMOKE_INNER" = namespaces ]; then
  start config "ready config 127.0.0.1:$config *servers=3" ./dsm config # the sample config.txt names these very servers
else
  start config "ready config 127.0.0.1:$config *servers=3" ./dsm config "$work/config.txt" --port $config
fi
config_pid=$started
step until_true ./dsm status
expect 1 '*EADDRINUSE*' ./dsm server $port1 $shm1 $sem1
expect 1 "*already running (pid $server1)*" ./dsm server 0 $shm1 $sem1

greeting() { # what a classic client is told
  list="127.0.0.1:$port1;127.0.0.1:$port2;127.0.0.1:$port3;"
  expected=$(printf '\0\0\0\003\0\0\0\'"$(printf '%03o' ${#list})$list" | od -An -tx1)
  exec 8<>/dev/tcp/127.0.0.1/$config
  got=$(timeout 5 cat <&8 | od -An -tx1)
  exec 8<&-
  [ "$got" = "$expected" ] || { echo "$got"; return 1; }
}
step greeting

expect 0 '' ./dsm client write $((region - 3)) 'over the edge'
expect 0 'over the edge' ./dsm client read $((region - 3)) $((region + 10))
expect 0 '6f766572' ./dsm client read $((region - 3)) $((region + 1)) --hex
expect 0 '' ./dsm client fill 10 20 x
expect 0 '\\x00xxxxxxxxxx\\x00' ./dsm client read 9 21
expect 0 '*"way":"memory"*' ./dsm client info --json
expect 0 '*"way":"tcp"*' ./dsm client info --json --no-attach
expect 1 '*EINVAL*' ./dsm client read 0 $((3 * region + 1))
expect 2 '*start (5) is after the end (1)*' ./dsm client read 5 1
head -c 3000000 /dev/urandom >"$work/file"
expect 0 '' ./dsm client load "$work/file" $((2 * region - 1500000))
expect 0 '' ./dsm client save $((2 * region - 1500000)) $((2 * region + 1500000)) "$work/copy"
step cmp "$work/file" "$work/copy"
prompts() { # five at once
  local pids=()
  for i in 1 2 3 4 5; do
    printf 'w %s00 %s05 five%s\nr %s00 %s05\nq\n' $i $i $i $i $i | ./dsm client >"$work/prompt$i" &
    pids+=($!)
  done
  for pid in "${pids[@]}"; do wait "$pid" || return; done
  for i in 1 2 3 4 5; do [ "$(cat "$work/prompt$i")" = "five$i" ] || return; done
}
step prompts
expect 0 '*blocks*' ./dsm blocks

# ---- loggers, and a checkpoint of everybody

checkpoints=$work/checkpoints
start logger2 'ready logger *master=0*' ./dsm logger 0 $((port2 + 1)) $shm2 $sem2
loggers=("$started")
start logger3 'ready logger *master=0*' ./dsm logger 0 $((port3 + 1)) $shm3 $sem3
loggers+=("$started")
expect 1 "*keys $shm2 and $sem2 are not those*" ./dsm logger 0 $((port1 + 1)) $shm2 $sem2
start logger1 "ready logger 127.0.0.1:$((port1 + 1)) master=1 shmkey=$shm1 semkey=$sem1 dir=$checkpoints" \
  ./dsm logger 1 $((port1 + 1)) $shm1 $sem1 --dir "$checkpoints"
loggers+=("$started")
expect 0 "$checkpoints/*Z-*" ./dsm checkpoint take
expect 0 '*3*192MiB*' ./dsm checkpoint list --dir "$checkpoints"
expect 0 '*' ./dsm checkpoint verify latest --dir "$checkpoints"
checkpoint_has() { # the file lies in the images where it was loaded to
  cmp -n 3000000 -i $((2 * region - 1500000)):0 <(cat "$(./dsm checkpoint take)"/server-?.img) "$work/file"
}
step checkpoint_has

# ---- a server is killed, and nothing is lost

kill -9 $server2
wait $server2 2>/dev/null
[ $? = 137 ]
report $? "kill -9 $server2"
step until_true sh -c '! ./dsm status'
start server2b 'ready server *start=taken-over*' ./dsm server $port2 $shm2 $sem2
server2=$started
step until_true ./dsm status
expect 0 'over the edge' ./dsm client read $((region - 3)) $((region + 10))
expect 0 '' ./dsm client save $((2 * region - 1500000)) $((2 * region + 1500000)) "$work/copy2"
step cmp "$work/file" "$work/copy2"

# ---- the ends

for process in "${loggers[@]}"; do
  kill "$process"
  ends "$process" 0 "kill $process, a logger"
done
kill -TERM $server1
ends $server1 0 "kill -TERM $server1"
kill -INT $server2 # background jobs ignore it in a shell without job control: dsm does not
ends $server2 0 "kill -INT $server2"
echo >&9
ends $server3 0 "a line on the standard input of $server3"
exec 9>&-
kill -TERM $config_pid
ends $config_pid 0 "kill -TERM $config_pid"
step key_gone $shm1 $sem1 $shm2 $sem2 $shm3 $sem3

# ---- under the ancestors' names

mkdir "$work/ancestor"
for name in server config client logger; do ln -s "$here/dsm" "$work/ancestor/$name"; done
ten='--size 10 --block-size 2 --fill -'
start ancient_server "ready server *:$port1 *size=10 block=2*" "$work/ancestor/server" $port1 $shm1 $sem1 $ten
ancient=("$started")
start ancient_server2 "ready server *:$port2 *size=10 block=2*" "$work/ancestor/server" $port2 $shm2 $sem2 $ten
ancient+=("$started")
printf '2\n127.0.0.1:%s\n127.0.0.1:%s\n' $port1 $port2 >"$work/ancestor/config.txt"
cd "$work/ancestor" || exit
start ancient_config 'ready config *servers=2' "$work/ancestor/config" --port $config
ancient+=("$started")
cd "$here" || exit
step until_true ./dsm status
start ancient_logger 'ready logger *master=0*' "$work/ancestor/logger" 0 $((port1 + 1)) $shm1 $sem1
ancient+=("$started")
talk() { printf 'w\n7\n13\nclient\nr 0 20\nq\n' | "$work/ancestor/client"; }
expect 0 '-------client-------' talk
if command -v cc >/dev/null; then
  step cc -o "$work/classic_client" tests/c/classic_client.c
  expect 0 '*client*' "$work/classic_client" 127.0.0.1 $config 10 w 0 5 older r 0 20 q
  expect 0 'older--client-------' ./dsm client read 0 20
else
  echo "skipped the client in C: no cc here"
fi
for process in "${ancient[@]}"; do
  kill "$process"
  ends "$process" 0 "kill $process"
done

# ---- the second ancestor's server, under its name

ln -s "$here/dsm" "$work/ancestor/distributed_shm_server"
start distributed_shm_server "ready server *:$port1 *standalone=1" \
  "$work/ancestor/distributed_shm_server" $port1 $shm1 $sem1 --size 1MiB
standalone=$started
if command -v python3 >/dev/null; then
  expect 0 'hello: 4096 bytes, 1 attached, mode 600' python3 -B examples/simple_client.py $port1 1234 hello
fi
if command -v cc >/dev/null; then
  step cc -Wall -Wextra -Werror -Iinclude -o "$work/simple_client" examples/simple_client.c
  expect 0 'hello: 4096 bytes, 1 attached, mode 600' "$work/simple_client" $port1 1234 hello
fi
kill $standalone
ends $standalone 0 "kill $standalone, distributed_shm_server"

# ---- a whole cluster with one command

if ./dsm up --help >/dev/null 2>&1; then
  export DSM_CONFIG=127.0.0.1:$up
  start up "ready up 127.0.0.1:$up servers=3 registry=127.0.0.1:*" ./dsm up --local 3 --port $up --base-port $base --dir "$work/up"
  up_pid=$started
  expect 0 '*up*up*up*' ./dsm status
  expect 0 '' ./dsm client write $((region - 3)) 'one command'
  expect 0 'one command' ./dsm client read $((region - 3)) $((region + 8))
  expect 0 "$work/up/*" ./dsm checkpoint take
  if [ "$SMOKE_INNER" = namespaces ]; then
    # the registry that dsm up has started, on its own port
    expect 0 '1' ./dsm registry bind printer 127.0.0.1:9100
    expect 0 '127.0.0.1:9100' ./dsm registry query printer
    expect 0 '*' ./dsm ipcmk -Q --key 0x51
    expect 0 '' ./dsm queue send 0x51 --type 2 hello
    expect 0 'hello' ./dsm queue recv 0x51 --type=-9
  fi
  expect 0 '*stopped*' ./dsm down
  ends $up_pid 0 "dsm up, stopped by dsm down"
  expect 0 "ready up 127.0.0.1:$up servers=2*" ./dsm up --local 2 -d --port $up --base-port $base --no-logger
  expect 0 '*up*up*' ./dsm status
  expect 0 '*stopped*' ./dsm down
fi

# ---- the registry exercise, over both ways

if ./dsm registry run --help >/dev/null 2>&1; then
  expect 0 '*server 2 ended with resource *' ./dsm registry run --interval 20ms
  expect 0 '*server 2 ended with resource *' ./dsm registry run --interval 20ms --over tcp
fi

# ---- nothing is left

if [ "$SMOKE_INNER" = namespaces ]; then
  nothing() { tail -qn +2 /proc/sysvipc/shm /proc/sysvipc/sem /proc/sysvipc/msg | { ! grep .; }; }
  step nothing
else
  step key_gone $shm1 $sem1 $shm2 $sem2 $shm3 $sem3
fi

echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
