//! logind ends all processes of a log-in when its owner asks it to: the keeper of the grace must not be one of them.

use crate::host::{Host, NO_QUESTION};
use crate::own_grant::{KEEPER, expect_all_ended, granted, inside, keepers, rules};

#[test]
#[ignore = "needs a machine on which systemd can be started; see make check-identity"]
fn whoever_has_logind_end_his_log_in_ends_no_keeper() {
    let host = Host::booted();
    // The server is no part of the log-in.
    host.pam(&format!("{NO_QUESTION}session optional pam_exec.so quiet /usr/share/tmux-gate/own-scope\n"));
    host.ssh_service("");
    host.configure(&rules("grace = \"1s\""));
    granted(&host, "alice", "8s");
    let mut alice = host.by_ssh("alice");
    inside(&mut alice);
    let [keeper] = keepers(&host)[..] else { panic!("{}", host.snapshot()) };
    let group = |pid| host.control_group(pid);
    host.wait_until("a scope of the keeper's", || group(keeper).starts_with("/system.slice/tmux-gate-grace-1001-"));
    let front = group(host.front().pid);
    let session = front.rsplit_once("/session-").expect("a session of logind's").1.trim_end_matches(".scope");
    let asked = host.run_as("alice", &["loginctl", "kill-session", session, "--signal=KILL"]);
    assert!(asked.status.success(), "{asked:?}");
    host.wait_until("the end of the monitor", || host.gates().iter().all(|gate| gate.comm == KEEPER));
    assert_eq!(keepers(&host), [keeper]);
    expect_all_ended(&host);
}
