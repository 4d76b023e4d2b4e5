#!/bin/sh
# Puts the built tmux-gate in place, or takes it away. Run by: make install, make uninstall.
# Never builds, never overwrites what an administrator has written, never ends a running session.
# Environment: DESTDIR, PREFIX, PAM (as in the Makefile), TARGET (where cargo has built).
set -eu
umask 022
cd "$(dirname "$0")/.."

: "${DESTDIR:=}" "${PREFIX:=/usr}" "${PAM:=}" "${TARGET:=target}"
PREFIX=${PREFIX%/}
share=$PREFIX/share
defaults=$share/tmux-gate/defaults # the configuration files as installed last: what differs from them is edited
runtime=/run/tmux-gate
state=/var/lib/tmux-gate # keys and tallies of worked PAM files
text='' made='' # files under way, removed if it ends early

say() { printf 'tmux-gate: %s\n' "$*"; }
die() { say "$*" >&2; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }
trap 'rm -f "$made" "$text"' EXIT
case $PREFIX in *[!A-Za-z0-9/._+-]* | [!/]*) die "PREFIX=$PREFIX: not an absolute path of plain characters" ;; esac

# each_file COMMAND: COMMAND MODE SOURCE TARGET for every file but the configuration and the program itself.
each_file() {
	"$1" 0644 "$TARGET/generated/man/tmux-gate.1" "$share/man/man1/tmux-gate.1"
	"$1" 0644 "$TARGET/generated/man/tmux-gate.toml.5" "$share/man/man5/tmux-gate.toml.5"
	"$1" 0644 packaging/man/tmux-gate-pam.7 "$share/man/man7/tmux-gate-pam.7"
	"$1" 0644 "$TARGET/generated/completions/tmux-gate.bash" "$share/bash-completion/completions/tmux-gate"
	"$1" 0644 "$TARGET/generated/completions/_tmux-gate" "$share/zsh/site-functions/_tmux-gate"
	"$1" 0644 "$TARGET/generated/completions/tmux-gate.fish" "$share/fish/vendor_completions.d/tmux-gate.fish"
	"$1" 0644 packaging/sysusers.d/tmux-gate.conf "$PREFIX/lib/sysusers.d/tmux-gate.conf"
	"$1" 0644 packaging/tmpfiles.d/tmux-gate.conf "$PREFIX/lib/tmpfiles.d/tmux-gate.conf"
	"$1" 0644 packaging/ssh/force-command.conf "$share/doc/tmux-gate/ssh/force-command.conf"
	"$1" 0644 packaging/ssh/login-shell.conf "$share/doc/tmux-gate/ssh/login-shell.conf"
	"$1" 0755 packaging/own-scope "$share/tmux-gate/own-scope"
	for worked in krb5 otp otp-google second-factor ldap ldap-sssd strict; do
		"$1" 0644 "pam.d/$worked" "$share/tmux-gate/pam.d/$worked"
	done
}

# put MODE SOURCE TARGET: whole or not at all, also in place of a program that is running.
put() {
	mkdir -p "$DESTDIR${3%/*}"
	made=$DESTDIR${3%/*}/.${3##*/}.new
	rm -f "$made"
	cp "$2" "$made"
	[ "$(id -u)" != 0 ] || chown 0:0 "$made"
	chmod "$1" "$made" # after chown, which clears the setuid bit
	mv -f "$made" "$DESTDIR$3"
	made=
}

# The same for a text: what names the program names it where it is.
put_text() {
	if [ "$PREFIX" = /usr ]; then
		put "$@"
	else
		text=$(mktemp)
		sed "s,/usr/bin/tmux-gate,$PREFIX/bin/tmux-gate,g" "$2" >"$text"
		put "$1" "$text" "$3"
		rm -f "$text"
	fi
}

remove() { rm -f "$DESTDIR$3"; }

# put_config SOURCE TARGET DEFAULT: only where there is nothing, or what an earlier install put there.
put_config() {
	old=$DESTDIR$2
	if [ -L "$old" ] || { [ -e "$old" ] && ! cmp -s "$1" "$old" && ! cmp -s "$DESTDIR$3" "$old"; }; then
		say "$2: edited, left as it is; the default of this version is $3"
	else
		put 0644 "$1" "$2"
	fi
	put 0644 "$1" "$3"
}

# remove_config TARGET DEFAULT
remove_config() {
	if [ -e "$DESTDIR$1" ] || [ -L "$DESTDIR$1" ]; then
		if [ ! -L "$DESTDIR$1" ] && cmp -s "$DESTDIR$2" "$DESTDIR$1"; then
			rm -f "$DESTDIR$1"
		else
			say "$1: edited, left where it is"
		fi
	fi
	rm -f "$DESTDIR$2"
}

# --- The PAM family ----------------------------------------------------------------------------------------------

# Does libpam find a file of this name to include?
pam_has() { [ -e "/etc/pam.d/$1" ] || [ -e "/usr/lib/pam.d/$1" ] || [ -e "/usr/etc/pam.d/$1" ]; }

# The names that pam.d/FAMILY includes.
pam_includes() { awk '$1 == "@include" { print $2 } $1 !~ /^#/ && $2 == "include" { print $3 }' "pam.d/$1" | sort -u; }

pam_missing() { for name in $(pam_includes "$1"); do pam_has "$name" || printf '%s ' "$name"; done; }

pam_family() {
	for file in /etc/os-release /usr/lib/os-release; do
		[ -r "$file" ] || continue
		# shellcheck disable=SC1090,SC2154
		for id in $(ID='' ID_LIKE=''; . "$file"; echo "$ID $ID_LIKE"); do
			case $id in
			debian | ubuntu) echo debian && return ;;
			fedora | rhel | centos) echo redhat && return ;;
			arch) echo arch && return ;;
			suse | opensuse | sles) echo suse && return ;;
			alpine) echo alpine && return ;;
			esac
		done
		break
	done
	for family in alpine redhat arch debian suse; do
		[ -n "$(pam_missing $family)" ] || { echo $family && return; }
	done
}

# --- The account and the runtime directory ------------------------------------------------------------------------

# entry passwd|group: the line of tmux-gate.
entry() {
	if have getent; then getent "$1" tmux-gate; else grep '^tmux-gate:' "/etc/$1"; fi
}

make_account() {
	if have systemd-sysusers; then
		systemd-sysusers "$PWD/packaging/sysusers.d/tmux-gate.conf"
	elif have groupadd && have useradd; then
		entry group >/dev/null || groupadd --system tmux-gate
		entry passwd >/dev/null || useradd --system --gid tmux-gate --home-dir / --no-create-home \
			--shell "$(command -v nologin || echo /usr/sbin/nologin)" --comment tmux-gate tmux-gate
	elif have addgroup && have adduser; then # busybox
		entry group >/dev/null || addgroup -S tmux-gate
		entry passwd >/dev/null || adduser -S -D -H -h / -s /sbin/nologin -G tmux-gate -g tmux-gate tmux-gate
	else
		die 'no systemd-sysusers, useradd or adduser here; make the group and the system user tmux-gate, then install again'
	fi
}

# Whoever is in the group reaches the directory of the sockets: so what was found is judged as what was made.
judge_account() {
	group=$(entry group) || die 'group tmux-gate: missing, and could not be made'
	user=$(entry passwd) || die 'user tmux-gate: missing, and could not be made'
	gid=$(echo "$group" | cut -d: -f3)
	[ "$gid" != 0 ] || die 'group tmux-gate: is the group of root; run: groupmod -g ID tmux-gate'
	[ "$(echo "$user" | cut -d: -f3)" != 0 ] || die 'user tmux-gate: is root; run: usermod -u ID tmux-gate'
	[ "$(echo "$user" | cut -d: -f4)" = "$gid" ] ||
		die 'user tmux-gate: another primary group; run: usermod -g tmux-gate tmux-gate'
	for member in $(echo "$group" | cut -d: -f4 | tr ',' ' '); do # busybox lists the user itself
		[ "$member" = tmux-gate ] || die "group tmux-gate: $member is a member; run: gpasswd -d $member tmux-gate"
	done
	others=$(if have getent; then getent passwd; else cat /etc/passwd; fi |
		awk -F: -v gid="$gid" '$4 == gid && $1 != "tmux-gate" { print $1 }')
	for other in $others; do
		die "group tmux-gate: the primary group of $other; run: usermod -g GROUP $other"
	done
}

make_runtime() {
	[ ! -L $runtime ] || die "$runtime: a symbolic link; remove it and install again"
	if have systemd-tmpfiles; then
		systemd-tmpfiles --create "$PWD/packaging/tmpfiles.d/tmux-gate.conf"
	else
		mkdir -p $runtime
		chown root:tmux-gate $runtime
		chmod 0710 $runtime
		mkdir -p $state/grants
		chmod 0700 $state $state/grants
	fi
	[ "$(stat -c '%U:%G %a' $runtime)" = 'root:tmux-gate 710' ] ||
		die "$runtime: not root:tmux-gate with mode 0710; remove it if no session runs, and install again"
}

# --- The two verbs ------------------------------------------------------------------------------------------------

install_all() {
	[ -f "$TARGET/release/tmux-gate" ] && [ -f "$TARGET/generated/config.toml" ] || die 'not built yet; run make first'
	[ -n "$PAM" ] || PAM=$(pam_family)
	[ -n "$PAM" ] || die 'unknown PAM set-up; say PAM=debian, redhat, arch, suse or alpine'
	case $PAM in
	debian | redhat | arch | suse | alpine) ;;
	*) die "PAM=$PAM: not one of debian, redhat, arch, suse, alpine; worked files go in by hand, see tmux-gate-pam(7)" ;;
	esac

	if [ -z "$DESTDIR" ]; then
		[ "$(id -u)" = 0 ] || die 'installing takes root; run: sudo make install'
		make_account
		judge_account
		make_runtime
	fi
	each_file put_text
	put_config "$TARGET/generated/config.toml" /etc/tmux-gate/config.toml "$defaults/config.toml"
	put_config "pam.d/$PAM" /etc/pam.d/tmux-gate "$defaults/pam"
	put 4755 "$TARGET/release/tmux-gate" "$PREFIX/bin/tmux-gate"

	[ -z "$DESTDIR" ] || return 0
	missing=$(pam_missing "$PAM")
	[ -z "$missing" ] ||
		say "/etc/pam.d/tmux-gate: includes ${missing% }, which this host lacks, so nobody gets in; choose another PAM="
	say "installed ($PREFIX/bin/tmux-gate, PAM=$PAM); to see whether this host is set up right, run: tmux-gate check"
}

uninstall_all() {
	if [ -z "$DESTDIR" ]; then
		[ "$(id -u)" = 0 ] || die 'uninstalling takes root; run: sudo make uninstall'
		stranded=$(awk -F: -v shell="$PREFIX/bin/tmux-gate" '$7 == shell { printf "%s ", $1 }' /etc/passwd)
		[ -z "$stranded" ] ||
			say "still the login shell of ${stranded% }: no log-in before that is changed; run: usermod -s /bin/sh NAME"
		forced=$(grep -rl '^[[:space:]]*ForceCommand .*tmux-gate' /etc/ssh/sshd_config /etc/ssh/sshd_config.d 2>/dev/null |
			tr '\n' ' ')
		[ -z "$forced" ] ||
			say "still a forced command in ${forced% }: no ssh for those whom it names before it is removed"
	fi
	rm -f "$DESTDIR$PREFIX/bin/tmux-gate"
	each_file remove
	remove_config /etc/pam.d/tmux-gate "$defaults/pam"
	remove_config /etc/tmux-gate/config.toml "$defaults/config.toml"
	for directory in "$defaults" "$share/tmux-gate/pam.d" "$share/tmux-gate" "$share/doc/tmux-gate/ssh" "$share/doc/tmux-gate" /etc/tmux-gate; do
		rmdir "$DESTDIR$directory" 2>/dev/null || true
	done
	[ -n "$DESTDIR" ] || leave
}

# What stays on the host. Whatever the gate has started carries the group: while such a process lives, its sessions'
# directory and the group stay. Without the directory the people inside could not come back to their sessions; the id
# of a removed group goes to the next group made, whose members those processes would then be.
leave() {
	gid=$(entry group | cut -d: -f3)
	[ -n "$gid" ] || return 0
	inside=$(grep -lE "^Groups:(.*[[:space:]])?$gid([[:space:]]|$)" /proc/[0-9]*/status 2>/dev/null | wc -l)
	if [ "$inside" -gt 0 ]; then
		say "sessions go on ($inside processes); left for them: $runtime, the user and the group tmux-gate"
		return
	fi
	for directory in "$runtime"/* "$runtime"; do rmdir "$directory" 2>/dev/null || true; done # empty ones only
	[ ! -e $runtime ] || say "$runtime: not empty, left until the next boot"
	say 'left, for files may carry their ids: the user and the group tmux-gate'
	say 'to remove them: userdel tmux-gate; groupdel tmux-gate'
}

case ${1:-} in
install) install_all ;;
uninstall) uninstall_all ;;
*) die 'usage: packaging/install.sh install|uninstall' ;;
esac
