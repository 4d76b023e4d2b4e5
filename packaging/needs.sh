#!/bin/sh
# Installs the Debian packages that are missing, after saying which. Run by: make check, make demo, .ci/run.
# Leaves other distributions to their administrators: there it only says what it would have installed.
set -eu

missing=
for package in "$@"; do
	case $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) in
	installed) ;;
	*) missing="$missing $package" ;;
	esac
done
[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null 2>&1; then
	echo "tmux-gate: not a Debian system; going on as if what these Debian packages bring is there:$missing" >&2
	exit 0
fi
[ "$(id -u)" = 0 ] || { echo "tmux-gate: missing, run as root: apt-get install$missing" >&2; exit 1; }

echo "tmux-gate: installing with apt-get:$missing"
export DEBIAN_FRONTEND=noninteractive
apt="apt-get -q -q -y -o DPkg::Lock::Timeout=300"
$apt update

# The tests start ssh servers of their own; this machine does not get one that listens.
case " $missing " in *' openssh-server '*)
	policy=/usr/sbin/policy-rc.d
	if [ ! -e $policy ]; then
		trap 'rm -f $policy' EXIT
		printf '#!/bin/sh\nexit 101\n' >$policy
		chmod 0755 $policy
	fi
	echo 'tmux-gate: the service of openssh-server stays off; to have it: systemctl enable --now ssh'
	;;
esac
# shellcheck disable=SC2086
$apt --no-install-recommends install $missing >/dev/null
case " $missing " in *' openssh-server '*)
	! command -v systemctl >/dev/null || systemctl disable ssh.service ssh.socket >/dev/null 2>&1 || true
	;;
esac
