//! pam_google_authenticator's own: emergency codes, its limit of attempts, and the file in the home that must not count.

use super::otp::{FOLDER, GOOGLE, KEY, KEY_32, PASSWORD, code, expect_nobody_in, wrong};
use super::worked::expect_unix_sessions;

/// What code that already runs as the user would do, if the module looked into the home.
#[test]
fn a_key_that_a_person_plants_at_home_is_worth_nothing() {
    const PLANTED: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let host = GOOGLE.host();
    let planted = format!("{PLANTED}\n\" TOTP_AUTH\n11111111\n");
    let mut alice = host.person("alice");
    alice.command(&format!("printf '{}' >.google_authenticator", planted.replace('\n', "\\n")));
    alice.command("chmod 600 .google_authenticator");
    assert_eq!(host.read("/home/alice/.google_authenticator"), planted);
    let of_hers = host.must(&["oathtool", "--totp", "-b", PLANTED]);
    GOOGLE.refused(&host, &mut alice, PASSWORD, of_hers.trim());
    GOOGLE.refused(&host, &mut alice, PASSWORD, "11111111");
    expect_nobody_in(&host, 2);
    let attempt = GOOGLE.enter(&mut alice, &code(&host, 0));
    alice.leave(&attempt);
    assert_eq!(host.read("/home/alice/.google_authenticator"), planted);
    expect_unix_sessions(&host, "alice", 1);
}

#[test]
fn given_no_key_or_one_that_is_not_roots_a_person_is_refused() {
    let host = GOOGLE.host();
    let mut alice = host.person("alice");
    let now = code(&host, 0);
    host.remove(GOOGLE.file);
    GOOGLE.refused(&host, &mut alice, PASSWORD, &now);
    host.syslog_wait(&["No secret configured for user alice, asking for code anyway."]);
    for (content, mode, owner) in [
        ("", 0o600, "root"),
        ("1\n\" TOTP_AUTH\n", 0o600, "root"),
        (GOOGLE.key, 0o644, "root"),
        (GOOGLE.key, 0o660, "root"),
        (GOOGLE.key, 0o600, "alice"),
    ] {
        host.write(GOOGLE.file, content, mode);
        host.must(&["chown", owner, GOOGLE.file]);
        GOOGLE.refused(&host, &mut alice, PASSWORD, &now);
    }
    expect_nobody_in(&host, 6);
}

#[test]
fn given_an_emergency_code_a_person_is_in_once() {
    let host = GOOGLE.host();
    let mut alice = host.person("alice");
    let attempt = GOOGLE.enter(&mut alice, "12345678");
    alice.leave(&attempt);
    assert!(!host.read(GOOGLE.file).contains("12345678"));
    GOOGLE.refused(&host, &mut alice, PASSWORD, "12345678");
    let attempt = GOOGLE.enter(&mut alice, "87654321");
    alice.leave(&attempt);
    host.expect_refusals(1);
    expect_unix_sessions(&host, "alice", 2);
}

#[test]
fn given_a_counter_each_code_is_good_once() {
    let host = GOOGLE.host();
    host.write(GOOGLE.file, format!("{KEY_32}\n\" HOTP_COUNTER 1\n"), 0o400);
    let codes = host.must(&["oathtool", "-c", "1", "-w", "4", KEY]);
    let codes: Vec<_> = codes.lines().collect();
    let mut alice = host.person("alice");
    let attempt = GOOGLE.enter(&mut alice, codes[0]);
    alice.leave(&attempt);
    GOOGLE.refused(&host, &mut alice, PASSWORD, codes[0]); // and the module counts on
    let attempt = GOOGLE.enter(&mut alice, codes[2]);
    alice.leave(&attempt);
    GOOGLE.refused(&host, &mut alice, PASSWORD, codes[1]);
    host.expect_refusals(2);
    expect_unix_sessions(&host, "alice", 2);
}

#[test]
fn given_the_limit_of_attempts_in_the_key_the_fourth_is_not_asked_for_a_code() {
    let host = GOOGLE.host();
    host.write(GOOGLE.file, GOOGLE.key.replacen('\n', "\n\" RATE_LIMIT 3 600\n", 1), 0o400);
    let mut alice = host.person("alice");
    let now = code(&host, 0);
    for _ in 0..3 {
        GOOGLE.refused(&host, &mut alice, PASSWORD, &wrong(&now));
    }
    let attempt = alice.attempt("tmux-gate");
    alice.expect("Password: ");
    alice.send(format!("{PASSWORD}\r"));
    let said = alice.expect_refused(&attempt, 77, "authentication failed");
    assert!(!said.contains(GOOGLE.prompt), "{said}");
    host.syslog_wait(&["Too many concurrent login attempts"]);
    expect_nobody_in(&host, 4);
}

/// What the module says reaches the person.
#[test]
fn given_a_folder_that_cannot_be_written_the_person_hears_why() {
    let host = GOOGLE.host();
    host.must(&["mount", "-t", "tmpfs", "-o", "size=4k,mode=700", "full", FOLDER]);
    host.write(GOOGLE.file, GOOGLE.key, 0o600);
    let mut alice = host.person("alice");
    let said = GOOGLE.refused(&host, &mut alice, PASSWORD, &code(&host, 0));
    assert!(said.contains("Error \"No space left on device\" while writing config"), "{said}");
    host.syslog_wait(&["Failed to update secret file"]);
    expect_nobody_in(&host, 1);
}
