#!/bin/sh
# dsm @VERSION@ for @TARGET@, a portable executable: this launcher, then the program and the runtime (deno @DENO@), gzipped.
#
# The first run unpacks both into the user's cache directory; later runs start from there. The runtime's directory is named
# after its contents and so is the program in it: what is there is complete, and two versions do not meet.
set -eu
runtime=@RUNTIME@ program=@PROGRAM@.js
size=@SIZE@ program_at=@PROGRAM_AT@ program_size=@PROGRAM_SIZE@ runtime_at=@RUNTIME_AT@

case $0 in */*) self=$0 ;; *) self=$(command -v -- "$0" || echo "./$0") ;; esac
name=${self##*/}
self=$(readlink -f -- "$self")

die() {
  echo "dsm: $1" >&2
  exit 126
}

# start DIR ARGUMENTS: become the program.
start() {
  dir=$1
  shift
  export DSM_EXECUTABLE="$self" DSM_ARGV0="$name" DENO_NO_UPDATE_CHECK=1
  exec "$dir/deno" run --quiet --no-config --no-lock --no-remote --no-npm --no-prompt @PERMISSIONS@ \
    "$dir/$program" "$@"
}

# ready DIR: whether both are unpacked there, by us and nobody else.
ready() {
  [ -O "$1" ] && [ -x "$1/deno" ] && [ -f "$1/$program" ]
}

# unpack BASE: make BASE/$runtime ready, or fail. Safe when many run at once: every name appears by rename, complete.
unpack() (
  umask 077
  mkdir -p -- "$1" 2>/dev/null && [ -O "$1" ] && [ ! -L "$1" ] && [ -w "$1" ] || exit 1
  if command -v flock >/dev/null 2>&1; then # one at a time, to unpack once; without flock the last rename loses
    exec 9>"$1/lock" && flock 9
  fi
  ready "$1/$runtime" && exit 0
  new=$(mktemp -d "$1/.new.XXXXXX") || exit 1
  trap 'rm -rf -- "$new"' EXIT
  trap 'exit 1' INT TERM HUP
  if [ ! -x "$1/$runtime/deno" ]; then
    mkdir "$new/runtime"
    tail -c "+$runtime_at" -- "$self" | gzip -dc >"$new/runtime/deno" || exit 1
    chmod 755 "$new/runtime/deno"
    "$new/runtime/deno" --version >/dev/null 2>&1 || exit 1 # a directory mounted noexec
    mv -T -- "$new/runtime" "$1/$runtime" 2>/dev/null || [ -x "$1/$runtime/deno" ] || exit 1
  fi
  tail -c "+$program_at" -- "$self" | head -c "$program_size" | gzip -dc >"$new/program" || exit 1
  mv -f -- "$new/program" "$1/$runtime/$program"
)

cache=${XDG_CACHE_HOME:-${HOME:-/nonexistent}/.cache}/dsm
temporary=${TMPDIR:-/tmp}/dsm-$(id -u)
for base in "$cache" "$temporary"; do
  if ready "$base/$runtime"; then start "$base/$runtime" "$@"; fi
done
found=$(wc -c <"$self") || die "cannot read $self"
[ "$found" -eq "$size" ] || die "$self is damaged: it has $((found)) bytes of $((size)); build or copy it again"
for base in "$cache" "$temporary"; do
  if unpack "$base"; then start "$base/$runtime" "$@"; fi
done
die "cannot unpack into $cache or $temporary: one must be writable, have 150 MB free and allow executables (or set XDG_CACHE_HOME)"
