//! What becomes of the bytes, through the whole life of a relay.

use std::thread;

use nix::sys::signal::kill;

use super::*;
use crate::relay::queue::CAPACITY;
use crate::relay::stage::*;
use crate::sys::tty::Size;

const EVERY: [u8; 256] = {
    let mut bytes = [0; 256];
    let mut at = 0;
    while at < 256 {
        bytes[at] = at as u8;
        at += 1;
    }
    bytes
};

#[test]
fn every_byte_that_is_typed_and_all_text_that_is_printed_arrive_as_they_are() {
    let stage = Stage::ready(Access::ReadWrite);
    for bytes in [EVERY.to_vec(), noise(1, 50_000)] {
        give(stage.terminal(), &bytes);
        assert_eq!(take(stage.session(), bytes.len()), bytes);
    }
    let text = text(2, 50_000);
    give(stage.session(), &text);
    assert_eq!(stage.shown(text.len()), text);
    // Also one by one, as they are typed.
    for byte in EVERY {
        give(stage.terminal(), &[byte]);
        assert_eq!(take(stage.session(), 1), [byte]);
    }
}

#[test]
fn what_was_typed_before_the_relay_was_there_is_nobodys() {
    let stage = Setting { typed: b"password\rpass", ..Setting::with(Access::ReadWrite) }.raise();
    stage.expect(ToMonitor::Ready);
    give(stage.terminal(), b"x");
    assert_eq!(take(stage.session(), 1), b"x");
    let stage = Setting { typed: b"q\rq", ..Setting::with(Access::ReadOnly) }.raise();
    stage.expect(ToMonitor::Ready);
    give(stage.session(), b"shown");
    take_until(stage.terminal(), b"shown");
}

#[test]
fn a_read_only_guest_types_nothing() {
    let streams = (1..=8).map(|seed| noise(seed, 60_000));
    let everything = EVERY.repeat(2);
    let text = b"\x1b[200~rm -rf /\r\x1b[201~\x02:kill-server\r\x1b[<0;1;1M\x1bOA\r\n".repeat(500);
    for mut stream in streams.chain([everything, text]) {
        stream.retain(|byte| ![b'q', 3, b'd'].contains(byte));
        let stage = Stage::ready(Access::ReadOnly);
        give(stage.terminal(), &stream);
        give(stage.terminal(), b"\x03");
        stage.expect_end(&[ToMonitor::Left]);
        assert_eq!(stage.reached_session(), b"");
    }
}

#[test]
fn a_read_only_guest_leaves_by_his_keys_and_these_type_nothing_either() {
    for keys in [["q", ""], ["\x03", ""], ["\x02d", ""], ["\x02", "d"], ["\x1b[200~q\x1b[20", "1~xyzq"]] {
        let stage = Stage::ready(Access::ReadOnly);
        for part in keys {
            give(stage.terminal(), part.as_bytes());
            wait_until_read(&stage);
        }
        stage.expect_end(&[ToMonitor::Left]);
        assert_eq!(stage.reached_session(), b"");
    }
}

/// The relay has read all that was typed: the kernel holds nothing of it any more.
fn wait_until_read(stage: &Stage) {
    while wait_for(stage.guest.as_fd(), PollFlags::POLLIN, Instant::now()) {
        thread::yield_now();
    }
}

#[test]
fn a_read_write_guest_types_the_ways_out_and_leaves_a_session_that_hears_none_by_the_third() {
    let stage = Stage::ready(Access::ReadWrite);
    let typed = b"q\x03\x02d\x02dx\x02d\x02d";
    give(stage.terminal(), typed);
    assert_eq!(take(stage.session(), typed.len()), typed);
    give(stage.terminal(), b"\x02d");
    stage.expect_end(&[ToMonitor::Left]);
}

#[test]
fn a_read_write_guest_leaves_a_session_that_reads_nothing() {
    let stage = Stage::ready(Access::ReadWrite);
    give(stage.terminal(), b"x\x02d\x02d\x02d");
    stage.expect_end(&[ToMonitor::Left]);
}

#[test]
fn a_read_write_guest_leaves_a_session_that_reads_nothing_of_all_that_he_pasted() {
    let stage = Stage::ready(Access::ReadWrite);
    let start = Instant::now();
    thread::scope(|threads| {
        threads.spawn(|| give(stage.terminal(), &[b'x'; 300_000]));
        threads.spawn(|| {
            assert!(!wait_for(stage.parent.as_fd(), PollFlags::POLLIN, start + DEAF), "it ended");
        });
    });
    assert!(start.elapsed() >= DEAF, "what he pasted was thrown away before its time");
    give(stage.terminal(), b"\x02d\x02d\x02d");
    stage.expect_end(&[ToMonitor::Left]);
}

#[test]
fn a_session_that_reads_late_reads_all() {
    let typed = noise(11, 300_000);
    let stage = Stage::ready(Access::ReadWrite);
    thread::scope(|threads| {
        threads.spawn(|| give(stage.terminal(), &typed));
        thread::sleep(DEAF * 3 / 5); // it is busy
        let mut read = take(stage.session(), 100_000);
        thread::sleep(DEAF * 3 / 5);
        read.extend(take(stage.session(), typed.len() - read.len()));
        assert!(read == typed, "what was read is not what was typed");
    });
}

const MUCH: usize = 2 << 20;

/// Types and shows at once, as a terminal does.
fn terminal_at_work(stage: &Stage, typed: &[u8], shown: &[u8]) {
    thread::scope(|threads| {
        threads.spawn(|| give(stage.terminal(), typed));
        assert!(stage.shown(shown.len()) == shown, "what was shown is not what was printed");
    });
}

#[test]
fn two_megabytes_pasted_while_as_much_is_printed_arrive_whole() {
    let (typed, printed) = (noise(3, MUCH), text(4, MUCH));
    let stage = Stage::ready(Access::ReadWrite);
    thread::scope(|threads| {
        threads.spawn(|| give(stage.session(), &printed));
        threads.spawn(|| assert!(take(stage.session(), MUCH) == typed, "what was read is not what was typed"));
        terminal_at_work(&stage, &typed, &printed);
    });
}

#[test]
fn two_megabytes_arrive_whole_at_a_session_that_prints_first_and_reads_then() {
    let (typed, printed) = (noise(5, MUCH), text(6, MUCH));
    let stage = Stage::ready(Access::ReadWrite);
    thread::scope(|threads| {
        threads.spawn(|| {
            give(stage.session(), &printed);
            assert!(take(stage.session(), MUCH) == typed, "what was read is not what was typed");
        });
        terminal_at_work(&stage, &typed, &printed);
    });
}

#[test]
fn two_megabytes_are_echoed_whole_by_a_session_that_reads_and_prints_by_turns() {
    let typed = text(7, MUCH);
    let stage = Stage::ready(Access::ReadWrite);
    thread::scope(|threads| {
        threads.spawn(|| {
            let mut left = MUCH;
            while left > 0 {
                let some = take_some(stage.session()).unwrap();
                left -= some.len();
                give(stage.session(), &some);
            }
        });
        terminal_at_work(&stage, &typed, &typed);
    });
}

#[test]
fn what_is_printed_right_before_the_end_is_shown_60_times_of_60() {
    let printed = text(8, 300_000);
    for _ in 0..60 {
        let mut stage = Stage::ready(Access::ReadOnly);
        thread::scope(|threads| {
            let terminal = stage.terminal.as_ref().unwrap();
            let session = stage.session.take().unwrap();
            threads.spawn(|| {
                give(session.as_fd(), &printed);
                drop(session);
            });
            assert!(take(terminal.as_fd(), printed.len()) == printed, "what was shown is not what was printed");
        });
        stage.expect_end(&[]);
    }
}

#[test]
fn a_terminal_that_is_slow_is_shown_the_rest_and_one_that_takes_nothing_is_not_waited_for() {
    let waits = |stage: &Stage| !wait_for(stage.parent.as_fd(), PollFlags::POLLIN, Instant::now() + LAST / 2);
    // The first fits into relay and terminal, the second is also waited for in the session's.
    for (length, pauses) in [(45_000, 2), (58_000, 3)] {
        let printed = text(9, length);
        let mut stage = Stage::ready(Access::ReadOnly);
        give(stage.session(), &printed);
        stage.session = None;
        let mut shown = Vec::new();
        for pause in 1..=pauses {
            assert!(waits(&stage), "it did not wait, of {length} bytes, in pause {pause}");
            assert!(stage.busy() < LAST / 10, "it was busy waiting");
            shown.extend(stage.shown(12_000));
        }
        shown.extend(stage.shown(printed.len() - shown.len()));
        assert!(shown == printed);
        stage.expect_end(&[]);
    }
    let printed = text(9, 45_000);
    let mut stage = Stage::ready(Access::ReadOnly);
    give(stage.session(), &printed);
    let start = Instant::now();
    stage.session = None;
    stage.expect_end(&[]);
    assert!(start.elapsed() > LAST / 2 && start.elapsed() < 2 * LAST, "{:?}", start.elapsed());
}

/// What was shown until the session's program drew the last time, and how long that is.
fn shown_until(stage: &Stage, end: &[u8]) -> usize {
    take_until(stage.terminal(), end).len()
}

#[test]
fn a_terminal_that_takes_nothing_holds_up_nobody_takes_no_memory_and_is_drawn_anew_when_it_does() {
    const FLOOD: usize = 40 << 20;
    let stage = Stage::ready(Access::ReadOnly);
    let _program = stage.sized_program();
    shown_until(&stage, b"<80x24>");
    let before = stage.memory("VmRSS");
    let text = [b'x'; 4096];
    give(stage.session(), &text.repeat(40));
    let start = Instant::now();
    (0..FLOOD / text.len()).for_each(|_| give(stage.session(), &text));
    let took = start.elapsed();
    stage.expect(ToMonitor::Behind);
    let busy = stage.busy();
    assert!(!wait_for(stage.parent.as_fd(), PollFlags::POLLIN, Instant::now() + HOLD), "it ended");
    assert!(stage.busy() - busy < HOLD / 10, "it was busy waiting");
    let grown = stage.memory("VmRSS").saturating_sub(before);
    assert!(grown < 512, "{grown} kB");
    assert!(took < LONG, "40 MB took {took:?}");
    let stale = shown_until(&stage, b"<80x24>");
    assert!(stale < 150_000, "{stale} bytes of what was printed long ago");
    // And everything passes as before.
    give(stage.session(), b"after");
    assert_eq!(stage.shown(5), b"after");
}

#[test]
fn a_terminal_that_keeps_taking_a_little_misses_nothing() {
    let printed = text(10, 600_000);
    let stage = Stage::ready(Access::ReadOnly);
    thread::scope(|threads| {
        threads.spawn(|| give(stage.session(), &printed));
        let mut shown = Vec::new();
        while shown.len() < printed.len() {
            shown.extend(take(stage.terminal(), 30_000.min(printed.len() - shown.len())));
            thread::sleep(HOLD / 4); // it is slow
        }
        assert!(shown == printed);
    });
    assert_eq!(stage.monitor.as_ref().unwrap().heard(), Ok(None), "it was called behind");
}

#[test]
fn a_lowered_guest_types_nothing_more_not_even_what_he_typed_before() {
    let stage = Stage::ready(Access::ReadWrite);
    let typed = stage.type_until_stuck(b"x");
    stage.tell(&ToRelay::Access(Access::ReadOnly));
    // Lines of the gate's come after what was told before.
    stage.tell(&ToRelay::Say(Visible::line(b"lowered")));
    take_until(stage.terminal(), b"\x1b8");
    let reached = stage.reached_session();
    assert!(reached.iter().all(|byte| *byte == b'x'));
    assert!(reached.len() + CAPACITY <= typed, "{} of {typed} bytes", reached.len());
    give(stage.terminal(), b"yyy\x03");
    stage.expect_end(&[ToMonitor::Left]);
    assert_eq!(stage.reached_session(), b"");
}

#[test]
fn a_raised_guest_types_from_then_on_and_nothing_that_he_typed_before() {
    let stage = Stage::ready(Access::ReadOnly);
    // All of it is there before the relay looks.
    kill(stage.relay, Signal::SIGSTOP).unwrap();
    give(stage.terminal(), b"password\r");
    stage.tell(&ToRelay::Access(Access::ReadWrite));
    stage.tell(&ToRelay::Say(Visible::line(b"raised")));
    kill(stage.relay, Signal::SIGCONT).unwrap();
    take_until(stage.terminal(), b"\x1b8");
    give(stage.terminal(), b"q");
    assert_eq!(take(stage.session(), 1), b"q");
}

fn resize(stage: &Stage, columns: u16, rows: u16) {
    stage.terminal.as_ref().unwrap().set_size(Size { columns, rows }).unwrap();
}

#[test]
fn the_session_is_as_large_as_the_terminal_and_never_more_than_it_can_bear() {
    for access in [Access::ReadOnly, Access::ReadWrite] {
        let stage = Setting { size: Size { columns: 1000, rows: 3 }, ..Setting::with(access) }.raise();
        stage.expect(ToMonitor::Ready);
        let _program = stage.sized_program();
        shown_until(&stage, b"<500x3>");
        for (columns, rows, size) in
            [(132, 43, "<132x43>"), (1, 1, "<1x1>"), (9999, 9999, "<500x300>"), (0, 0, "<80x24>"), (81, 24, "<81x24>")]
        {
            resize(&stage, columns, rows);
            shown_until(&stage, size.as_bytes());
        }
    }
}

#[test]
fn a_terminal_that_is_resized_all_the_time_has_the_session_draw_now_and_then() {
    let stage = Stage::ready(Access::ReadOnly);
    let _program = stage.sized_program();
    let start = Instant::now();
    for n in 0..20_000 {
        resize(&stage, 100 + n % 100, 30);
    }
    resize(&stage, 99, 30);
    let shown = String::from_utf8(take_until(stage.terminal(), b"<99x30>")).unwrap();
    let most = start.elapsed().as_millis() / RESIZE.as_millis() + 2;
    let drawn = shown.matches('<').count();
    assert!(drawn as u128 <= most, "drawn {drawn} times, {most} would do");
}

#[test]
fn a_line_of_the_gates_stays_over_what_is_printed_and_goes() {
    const LINE: &[u8] = b"\x1b7\x1b(B\x0f\x1b[24;1H\x1b[0;7mends in 5 minutes\x1b[0m\x1b[K\x1b8";
    let stage = Stage::ready(Access::ReadOnly);
    let _program = stage.sized_program();
    shown_until(&stage, b"<80x24>");
    let start = Instant::now();
    stage.tell(&ToRelay::Say(Visible::line(b"ends in 5 minutes")));
    assert_eq!(stage.shown(LINE.len()), LINE);
    give(stage.session(), b"more");
    assert_eq!(stage.shown(4 + LINE.len()), [b"more", LINE].concat());
    assert_eq!(stage.shown(7), b"<80x24>", "drawn anew, and the line is gone");
    assert!(start.elapsed() >= NOTICE);
    give(stage.session(), b"more");
    assert_eq!(stage.shown(4), b"more");
}
