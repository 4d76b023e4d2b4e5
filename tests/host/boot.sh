# shellcheck shell=bash
# systemd as the first process of a host needs a branch of the control groups of its own. It is made below the group that
# we are in, so that whatever holds for us holds for it.
control_group() {
    local top own
    top=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)
    own=$(awk -F: '$1 == 0 { print $3 }' /proc/self/cgroup)
    [ -n "$top" ] || fail "cgroup2: not mounted here; systemd cannot be started"
    [ -d "$top$own" ] || fail "$top$own: the control group of this process is not there; systemd cannot be started"
    echo "$top${own%/}/tmux-gate-test"
}

# Sets $group to a new one. Those whose maker was killed go.
make_control_group() {
    local stale
    group=$(control_group) || exit
    for stale in "$group".[0-9]*; do
        [ ! -d "$stale" ] || [ -d "/proc/${stale##*.}" ] || remove_control_group "$stale"
    done
    group=$group.$$
    mkdir "$group" 2>/dev/null || fail "$group: cannot be made; systemd cannot be started"
}

# Only what no process is in.
remove_control_group() {
    [ -f "$1/cgroup.procs" ] || return 0
    find "$1" -depth -type d -exec rmdir {} + 2>/dev/null || true
}

# enter_control_group GROUP PROGRAM...: becomes PROGRAM in it, which takes it for the root of all.
enter_control_group() {
    [ -f "$1/cgroup.procs" ] || fail "$1: no control group"
    echo 0 >"$1/cgroup.procs"
    shift
    exec unshare --cgroup "$@"
}

# Holds a host until the end of standard input. Out of the new group stay both we and unshare: else no controller could be
# handed on in it. The host ends with us, also if we are killed, but not by a signal of the terminal's.
hold_booted_host() {
    make_control_group
    trap end_booted_host EXIT
    setpriv --pdeathsig KILL setsid \
        unshare --mount --propagation private --pid --fork --kill-child --uts --ipc --net \
        bash -eu $checkout/tests/host/host.sh _enter "$group" "$@" </dev/null &
    exec >/dev/null # so that whoever waits for "ready" learns that it will not come
    read -r _ || true
}

# unshare ends when the last process of the host is gone.
end_booted_host() {
    local first
    first=$(cat "/proc/$!/task/$!/children" 2>/dev/null) || true
    kill -KILL "${first:-$!}" 2>/dev/null || true
    wait $! 2>/dev/null || true
    for _ in {1..100}; do # more than once if unshare was killed
        remove_control_group "$group"
        [ -d "$group" ] || return 0
        sleep 0.05
    done
}

# What of the machine's kernel has no namespace stays out of its reach.
become_systemd() {
    local without=-sys_module,-sys_rawio,-sys_time,-sys_boot,-syslog,-wake_alarm,-block_suspend
    mount -t cgroup2 cgroup2 /sys/fs/cgroup
    mount --bind /proc/sys /proc/sys
    mount -o remount,bind,ro /proc/sys
    mkfifo -m 600 /run/gate-tests
    { timeout 20 cat /run/gate-tests || { echo late; { systemctl list-jobs; systemctl --failed; } >&2; }; } &
    exec env -i container=private PATH=/usr/sbin:/usr/bin setpriv --bounding-set "$without" \
        /lib/systemd/systemd --unit=gate-tests.target </dev/null >/dev/null 2>&1
}

# One line and status 1 if no systemd can be started here.
try_to_boot() {
    local tool why
    for tool in apt-get setpriv setsid mkfifo timeout find; do
        command -v "$tool" >/dev/null || fail "$tool: not installed; systemd cannot be started in a host"
    done
    make_control_group
    trap 'remove_control_group "$group"' EXIT
    why=$(namespaces bash -eu "$0" _enter-to-try "$group" </dev/null 2>&1) ||
        fail "${why##*$'\n'}; systemd cannot be started"
}

try_control_group() {
    mount -t proc proc /proc
    mount -t sysfs -o ro sysfs /sys
    mount -t cgroup2 cgroup2 /sys/fs/cgroup
    mkdir /sys/fs/cgroup/init.scope
    echo $$ >/sys/fs/cgroup/init.scope/cgroup.procs
}
