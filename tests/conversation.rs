//! What PAM's modules ask and say, and what reaches them of what the person types.

use crate::host::{Host, NO_QUESTION, WAITS, fixture};
use std::time::{Duration, Instant};

const ONE_TRY: &str = "[authentication]\ntries = 1\n";
const MANY_TRIES: &str = "[authentication]\ntries = 10\n";
const ANSWERS: &str = "/var/log/gate-answers";

fn hex(bytes: impl AsRef<[u8]>) -> String {
    bytes.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn texts_and_questions_appear_in_order_exactly_as_the_module_wrote_them() {
    let asks = "auth:ask=First\\_hidden:\\_ auth:show=Then\\_visible>\\_ auth:ask=\\xc3\\xa4?";
    let host =
        Host::with_fixture(&format!("auth:say=Welcome. auth:error=Careful. {asks} auth:say auth:two auth:fail=7"));
    host.configure(ONE_TRY);
    let mut alice = host.person("alice");
    let attempt = alice.attempt("tmux-gate");
    for (prompt, answer) in
        [("hidden: ", "one"), ("visible> ", "two"), ("ä?", "three"), ("hidden: ", ""), ("visible: ", "")]
    {
        alice.expect(prompt);
        alice.send(format!("{answer}\r"));
    }
    alice.expect_refused(&attempt, 77, "authentication failed");
    let (shown, _) = alice.shown().split_once("tmux-gate: ").map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    let first = "Welcome.\r\nCareful.\r\nFirst hidden: \r\nThen visible> two\r\nä?\r\n\r\n";
    assert_eq!(shown, format!("{first}two questions follow\r\nhidden: \r\nvisible: \r\n"));
}

#[test]
fn questions_appear_on_the_terminal_wherever_standard_error_goes() {
    let host = Host::with_fixture("auth:say=Welcome. auth:ask=Code:\\_");
    let mut alice = host.person("alice");
    alice.attempt("tmux-gate 2>/tmp/errors");
    alice.expect("Welcome.\r\nCode: ");
    alice.send("\x03");
    assert_eq!(alice.status(), 77);
    assert_eq!(host.read("/tmp/errors").lines().count(), 1);
    let attempt = alice.attempt("tmux-gate 2>&-");
    alice.expect("Welcome.\r\nCode: ");
    alice.send("x\r");
    alice.expect_inside();
    alice.leave(&attempt);
}

#[test]
fn what_could_command_the_terminal_is_shown_as_text() {
    let table = [
        (r"\x1b[2J\x1b]0;t\x07", r"\x1b[2J\x1b]0;t\x07"),
        (r"\x9b31m", r"\x9b31m"),
        (r"\xc2\x9b31m", r"\u{9b}31m"),
        (r"\xe2\x80\xaegate", r"\u{202e}gate"),
        (r"\xe2\x80\x8b", r"\u{200b}"),
        (r"\xc0\x80", r"\xc0\x80"),
        (r"\xff\xfe\xc3", r"\xff\xfe\xc3"),
        (r"\x08\x0d\x0b\x0c\x7f", r"\x08\x0d\x0b\x0c\x7f"),
        (r"r\xc3\xa4k\xf0\x9d\x84\x9e", "räk𝄞"),
        (r"%s%n", "%s%n"),
    ];
    for text in table.chunks(5) {
        let raw: String = text.iter().map(|(raw, _)| format!("|{raw}")).collect();
        let shown: String = text.iter().map(|(_, shown)| format!("|{shown}")).collect();
        let host = Host::with_fixture(&format!("auth:say={raw} auth:error={raw} auth:ask={raw}>"));
        let mut alice = host.person("alice");
        let attempt = alice.attempt("tmux-gate");
        alice.expect(&format!("{shown}>"));
        alice.send("\x03");
        alice.expect_refused(&attempt, 77, "interrupted");
        assert!(alice.shown().starts_with(&format!("{shown}\r\n{shown}\r\n{shown}>\r\n")), "{:?}", alice.shown());
        let commands = alice.shown().chars().any(|c| c.is_control() && c != '\r' && c != '\n');
        assert!(!commands, "{:?}", alice.shown());
    }
}

#[test]
fn a_text_of_4_kb_is_shown_whole_and_a_longer_one_has_an_end() {
    let host = Host::with_fixture("auth:long=4096 auth:long=100000 auth:ask=Code:\\_");
    let mut alice = host.person("alice");
    alice.attempt("tmux-gate");
    alice.expect("Code: ");
    let shown = alice.shown();
    let lengths: Vec<usize> = shown.split("\r\n").map(|line| line.matches('x').count()).collect();
    assert_eq!(lengths, [4096, 4096, 0], "of 4096 and 100000 bytes");
    alice.send("\x03");
    assert_eq!(alice.status(), 77);
}

#[test]
fn answers_arrive_byte_for_byte() {
    let host = Host::with_fixture("auth:ask=hidden:\\_ auth:show=visible:\\_ auth:fail=7");
    host.configure(MANY_TRIES);
    let long = "x".repeat(511);
    let answers: [&[u8]; 10] = [
        b" two  spaces ",
        b"\ttab\there\t",
        "räksmörgås €𝄞".as_bytes(),
        b"\"'`$(id)\\\\n",
        b"-",
        b"",
        b"\x01\x02\x1b[A\x16\x17\x1f",
        b"\x80\xff\xc3",
        long.as_bytes(),
        b"last",
    ];
    let mut alice = host.person("alice");
    let attempt = alice.attempt("tmux-gate");
    for answer in answers {
        for prompt in ["hidden: ", "visible: "] {
            alice.expect(prompt);
            alice.send([answer, b"\r"].concat());
        }
    }
    alice.expect_refused(&attempt, 77, "authentication failed");
    let arrived = host.read(ANSWERS);
    let expected: String = answers.iter().map(|answer| format!("{0}\n{0}\n", hex(answer))).collect();
    assert_eq!(arrived, expected);
}

#[test]
fn corrections_take_back_whole_characters_and_whole_lines() {
    let host = Host::with_fixture("auth:ask=hidden:\\_ auth:show=visible:\\_ auth:fail=7");
    host.configure(MANY_TRIES);
    let typed = [
        ("rä€𝄞\x7f\x7f\x7fk", "rk"),
        ("\x7f\x08ok\x08\x7f\x08yes", "yes"),
        ("wröng\x15right", "right"),
        ("\x15\x15", ""),
        ("a\x1ab\x1cc\x04d", "abcd"), // Ctrl-Z, Ctrl-\ and, on a line that is not empty, Ctrl-D do nothing
        ("ä\x7fline\n", "line"),
    ];
    let mut alice = host.person("alice");
    let attempt = alice.attempt("tmux-gate");
    for (keys, _) in typed {
        for prompt in ["hidden: ", "visible: "] {
            alice.expect(prompt);
            alice.send(keys.trim_end());
            alice.send("\r");
        }
    }
    for prompt in ["hidden: ", "visible: "] {
        alice.expect(prompt);
        alice.send("seen\x7f\x7ft\n");
    }
    alice.expect("seen\x08 \x08\x08 \x08t\r\n");
    alice.expect("hidden: ");
    alice.send("\x03");
    alice.expect_refused(&attempt, 77, "interrupted");
    let expected: String = typed.iter().map(|(_, answer)| format!("{0}\n{0}\n", hex(answer))).collect();
    assert_eq!(host.read(ANSWERS), format!("{expected}{0}\n{0}\n", hex("set")));
}

#[test]
fn given_ctrl_c_at_a_prompt_nothing_more_is_asked_and_nobody_is_in() {
    let optional = "auth optional pam_fixture.so auth:ask=one:\\_ auth:ask=two:\\_\n";
    let required = "auth required pam_fixture.so auth:ask=three:\\_\n";
    for (service, keys) in [
        (format!("{optional}{required}{NO_QUESTION}"), "\x03"),
        (format!("{optional}{required}{NO_QUESTION}"), "\x04"),
        (format!("{optional}{NO_QUESTION}"), "jq8xz4wk\x03"),
        (format!("{optional}{NO_QUESTION}"), "\x03jq8xz4wk\r"),
        (format!("{NO_QUESTION}account optional pam_fixture.so account:ask=one:\\_\n"), "\x03"),
    ] {
        let host = Host::new();
        host.pam(&service);
        let mut alice = host.person("alice");
        let attempt = alice.attempt("tmux-gate");
        alice.expect("one: ");
        alice.send(keys);
        alice.expect_refused(&attempt, 77, if keys == "\x04" { "no answer" } else { "interrupted" });
        assert!(!alice.shown().contains("two:") && !alice.shown().contains("three:"), "{}", alice.shown());
        alice.expect_never_shown("jq8xz4wk");
        host.expect_refusal(&["user=alice"]);
        host.expect_sessions("");
    }
}

#[test]
fn given_ctrl_c_while_a_module_works_the_gate_ends_it_whatever_it_blocks() {
    for service in [
        format!("auth {WAITS}\n{NO_QUESTION}"),
        fixture("auth:note=here auth:hang"),
        fixture("account:note=here account:hang"),
    ] {
        let host = Host::new();
        host.hold();
        host.pam(&service);
        let mut alice = host.person("alice");
        let attempt = alice.attempt("tmux-gate");
        match service.contains("hang") {
            true => host.expect_note("a"),
            false => host.expect_waiting(),
        }
        alice.send("typed too early");
        alice.expect("typed too early");
        alice.send("\x03");
        alice.expect_refused(&attempt, 77, "interrupted");
        host.expect_refusal(&["user=alice", "interrupted"]);
        host.expect_sessions("");
    }
}

#[test]
fn the_time_limit_holds_for_all_tries_together() {
    let host = Host::with_fixture("auth:password=right");
    host.configure("[authentication]\ntries = 10\ntime_limit = \"2s\"\n");
    let mut alice = host.person("alice");
    let before = Instant::now();
    let attempt = alice.attempt("tmux-gate");
    alice.expect("Password: ");
    std::thread::sleep(Duration::from_millis(1300)); // time itself is what is tested
    alice.send("wrong\r");
    alice.expect("Sorry, try again.");
    alice.expect("Password: ");
    alice.send("rig");
    alice.expect_refused(&attempt, 77, "no answer within the time limit");
    let took = before.elapsed();
    assert!((1900..3200).contains(&took.as_millis()), "{took:?}");
    host.expect_refusal(&["user=alice", "no answer within the time limit"]);
    alice.expect_not("rig");
}

#[test]
fn as_many_tries_as_configured_are_given() {
    let host = Host::with_fixture("auth:password=right");
    for (settings, tries) in [("", 3), (ONE_TRY, 1), ("[authentication]\ntries = 5\n", 5)] {
        host.configure(settings);
        let mut alice = host.person("alice");
        let attempt = alice.attempt("tmux-gate");
        for _ in 0..tries {
            alice.expect("Password: ");
            alice.send("wrong\r");
        }
        alice.expect_refused(&attempt, 77, "authentication failed");
        assert_eq!(alice.shown().matches("Password: ").count(), tries);
        assert_eq!(alice.shown().matches("Sorry, try again.").count(), tries - 1);
    }
    host.expect_sessions("");
}

#[test]
fn nothing_is_asked_while_the_session_opens_and_closes() {
    for call in ["setcred", "open"] {
        let host = Host::with_fixture(&format!("{call}:ask=now:\\_"));
        let mut alice = host.person("alice");
        let attempt = alice.attempt("tmux-gate");
        alice.expect_refused(&attempt, 77, "session");
        host.syslog_wait(&["event=refused", "user=alice", "pam=CONV_ERR"]);
        host.expect_nothing_left();
        alice.expect_not("now:");
    }
    let host = Host::with_fixture("close:ask=now:\\_ delete:show=now:\\_");
    let mut alice = host.person("alice");
    let attempt = alice.attempt("tmux-gate");
    alice.expect_inside();
    alice.leave(&attempt);
    host.expect_nothing_left();
    alice.expect_not("now:");
}
