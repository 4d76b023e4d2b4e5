#!/bin/bash
# The gate in a private host, for somebody who sees it for the first time. Run by: make demo.
# With a terminal the reader stands at the gate's own prompt; without one the story plays by itself on terminals of its
# own, prints what each person sees, and fails if somebody does not see what the story says.
set -euo pipefail

here=$(cd "$(dirname "$0")/.." && pwd)
checkout=/mnt/checkout # where the private host shows it
socket=/run/tmux-gate/1001/default # of alice
log=/var/log/auth.log
time_limit=20 # seconds for each thing to be seen

heading() { printf '\n== %s\n\n' "$*"; }
recorded() { grep -a tmux-gate "$log" | sed 's/^/   /'; }

# Whoever looks at a screen sees by the prompt where it is.
mark_prompts() {
	local person
	for person in alice bob; do
		cat >"/home/$person/.bash_profile" <<-'END'
			case ${TMUX:-} in
			/run/tmux-gate/*) PS1='\u, in the session$ ' ;;
			*) PS1='\u$ ' ;;
			esac
		END
	done
}

# --- The reader at the terminal -----------------------------------------------------------------------------------

# as PERSON COMMAND [ARGUMENT...]: in a process of that person's, as after a log-in.
as() {
	local person=$1
	shift
	setpriv --reuid "$person" --regid "$person" --init-groups --reset-env \
		env TERM="$TERM" LANG="${LANG:-C.UTF-8}" "$@"
}

visit() {
	infocmp "$TERM" >/dev/null 2>&1 || export TERM=xterm-256color
	mark_prompts
	cd /home/alice
	cat <<'END'

This is a private host, with its own processes, users, files and network.
Nothing in it touches the machine around it; when you leave, it is gone.

    person   password
    alice    alice's secret
    bob      bob's secret

You are alice, and run:  tmux-gate
The gate asks for alice's password, and then you are in the session that
nobody else reaches. In there, try

    tmux ls                    every tmux command finds the socket
    ps -eo pid,user,comm       front, monitor, client and server

and come back with Ctrl-b d (Ctrl-b twice if you sit in a tmux of your own).

END
	local status=0
	as alice tmux-gate || status=$?
	heading "Exit status $status. What the log recorded:"
	recorded || echo '   (nothing)'
	if [ -S $socket ]; then
		heading 'The session goes on, and from outside alice does not reach it:'
		echo "   alice\$ tmux -S $socket list-sessions"
		as alice tmux -S $socket list-sessions 2>&1 | sed 's/^/   /' || true
	fi
	heading 'You are root in the private host now. More to try:'
	cat <<END
   su - alice            then: tmux-gate, tmux-gate list, tmux-gate explain
   su - bob              then: tmux -S $socket attach
   tmux-gate check       is this host set up right
   tail $log    what was recorded
   exit                  the private host is gone

   What you change in /etc/pam.d/tmux-gate and /etc/tmux-gate/config.toml
   holds from the next tmux-gate on.

END
	cd /root
	PS1='gatehost# ' bash --norc --noprofile -i || true
}

# --- The story without a terminal ---------------------------------------------------------------------------------

stage() { tmux -L stage -f /dev/null "$@"; }

# screen TERMINAL: what is on the person's terminal, without the empty lines below.
screen() { stage capture-pane -p -t "=$1:" | sed -e :a -e '/^\n*$/{$d;N;ba' -e '}'; }

show() { screen "$1" | cat -s | sed "s/^/   | /"; }

# enters PERSON [TERMINAL]: a login shell on a terminal of its own, which has the person's name if it is the first.
enters() {
	stage new-session -d -x 100 -y 20 -s "${2:-$1}" "exec su - $1"
	sees "${2:-$1}" "$1\$"
}

types() { stage send-keys -t "=$1:" -l "$2"; stage send-keys -t "=$1:" Enter; }

presses() { local person=$1; shift; stage send-keys -t "=$person:" "$@"; }

# sees TERMINAL TEXT [TIMES]: waits until the text is on so many lines of it.
sees() {
	local until=$((SECONDS + time_limit))
	while [ "$(screen "$1" | grep -cF -- "$2")" -lt "${3:-1}" ]; do
		if [ $SECONDS -ge $until ]; then
			show "$1" >&2
			echo "demo: within ${time_limit}s $1 did not see: $2" >&2
			exit 1
		fi
		sleep 0.05
	done
}

# records TEXT [TIMES]: waits until the log has it.
records() {
	local until=$((SECONDS + time_limit))
	while [ "$(grep -acF -- "$1" "$log" 2>/dev/null)" -lt "${2:-1}" ]; do
		if [ $SECONDS -ge $until ]; then
			recorded >&2
			echo "demo: within ${time_limit}s the log did not record: $1" >&2
			exit 1
		fi
		sleep 0.05
	done
}

play() {
	export TERM=xterm-256color LANG=C.UTF-8
	cd /
	mark_prompts

	heading 'alice runs tmux-gate, mistypes her password, and is asked again'
	enters alice
	types alice tmux-gate
	sees alice 'assword:'
	types alice 'not her secret'
	sees alice 'Sorry, try again.'
	sees alice 'assword:' 2
	show alice

	heading 'With the right one she is in her session; every tmux command finds its socket'
	types alice "alice's secret"
	sees alice '[main]'
	sees alice 'in the session$'
	types alice 'tmux list-sessions'
	sees alice 'main: 1 windows'
	types alice "echo \$TMUX"
	sees alice "$socket,"
	show alice

	heading 'The processes'
	ps -eo pid,ppid,user,comm,args | grep -E '^ *PID|tmux[-:]' | grep -v -e grep -e 'L stage' | sed 's/^/   /'
	if [ "$(ps -eo user,comm | grep -cE '^root +tmux-gate:')" -lt 2 ]; then
		echo 'demo: front and monitor are not both there' >&2
		exit 1
	fi

	heading 'bob tries her socket, and then the gate with a password that he does not have'
	enters bob
	types bob "tmux -S $socket list-sessions"
	sees bob 'Permission denied'
	types bob tmux-gate
	for try in 1 2 3; do
		sees bob 'assword:' $try
		types bob "guess $try"
	done
	sees bob 'authentication failed'
	types bob 'echo status $?'
	sees bob 'status 77'
	show bob

	heading 'A process of her own uid that did not come through the gate does not reach it either'
	enters alice elsewhere
	types elsewhere "tmux -S $socket list-sessions"
	sees elsewhere 'Permission denied'
	show elsewhere

	heading 'alice detaches; the session goes on without her'
	presses alice C-b d
	sees alice '[detached (from session main)]'
	show alice

	heading 'What the log recorded'
	records 'event=authenticated user=alice'
	records 'event=attached user=alice'
	records 'event=detached user=alice'
	records 'event=refused user=bob'
	recorded

	heading 'The private host is gone. With a terminal, make demo lets you do all this yourself.'
}

case ${1:-} in
'')
	echo 'Opening a private host and installing tmux-gate in it:'
	if [ -t 0 ]; then
		exec bash "$here/tests/host/host.sh" run bash $checkout/packaging/demo.sh visit
	else
		exec bash "$here/tests/host/host.sh" run bash $checkout/packaging/demo.sh play </dev/null
	fi
	;;
visit | play) "$1" ;;
*) echo 'usage: packaging/demo.sh' >&2 && exit 2 ;;
esac
