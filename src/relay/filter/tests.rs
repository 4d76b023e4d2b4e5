//! What passes, what does not, and what becomes of what is neither: by hand here, by chance in `hostile`, as tmux
//! really writes it in `samples`, all of it read again by `grammar`, which knows nothing of the filter.

mod grammar;
mod hostile;
mod samples;

use super::*;

/// All that comes out for `bytes`, given at once.
fn passed(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    Filter::new().pass(bytes, &mut out);
    out
}

/// All that comes out for `pieces`, given one after the other.
fn passed_in<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let (mut filter, mut out) = (Filter::new(), Vec::new());
    pieces.into_iter().for_each(|piece| filter.pass(piece, &mut out));
    out
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// `input` comes out as `expected`, wherever it is cut, and comes out of a second filter as of the first.
fn comes_out(input: &[u8], expected: &str) {
    assert_eq!(text(&passed(input)), expected, "of {:?}", text(input));
    for cut in 0..=input.len() {
        let (first, second) = input.split_at(cut);
        assert_eq!(text(&passed_in([first, second])), expected, "of {:?} cut at {cut}", text(input));
    }
    assert_eq!(text(&passed_in(input.chunks(1))), expected, "of {:?} byte by byte", text(input));
    assert_eq!(text(&passed(expected.as_bytes())), expected, "of {expected:?}, filtered again");
    assert_eq!(grammar::breach(expected.as_bytes()), None, "in {expected:?}");
}

#[test]
fn what_tmux_draws_with_passes_as_it_is() {
    for sequences in [
        "text, \u{416}\u{438}\u{440}, \u{6f22}\u{5b57}, e\u{301}, \u{1f469}\u{200d}\u{1f52c}, \
         \u{5e9}\u{5dc}\u{5d5}\u{5dd}\r\n\tx\u{8}y",
        "\x0elqqk\x0f\x1b(0\x1b(B\x1b)0\x1b)B\x1b7\x1b8\x1b=\x1b>\x1bD\x1bE\x1bM\x1b[A\x1b[3B\x1b[C\x1b[D\
         \x1b[E\x1b[F\x1b[7G\x1b[I\x1b[Z\x1b[4`\x1b[4a\x1b[9d\x1b[2e\x1b[H\x1b[24;80H\x1b[5;6f\x1b[@\x1b[2L\
         \x1b[2M\x1b[2P\x1b[9X\x1b[3S\x1b[3T\x1b[r\x1b[2;10r\x1b[s\x1b[4;40s\x1b[J\x1b[1J\x1b[2J\x1b[K\x1b[1K\
         \x1b[2K\x1b[32;1;1;9;40$x\x1b[0 q\x1b[6 q\x1b[34h\x1b[34l\x1b[?1h\x1b[?1l\x1b[?12l\x1b[?25h\x1b[?25l\
         \x1b[?69h\x1b[?69l\x1b[?1000h\x1b[?1002h\x1b[?1003l\x1b[?1005l\
         \x1b[?1006h\x1b[?2004h\x1b[?2026h\x1b[?2026l\x1b[0m\x1b[1;2;3;4;5;7;8;9m\
         \x1b[21;22;29;30;37;39;40;47;49;53;55;59;90;97;100;107m\x1b[38;5;208m\x1b[48;2;0;40;255m\
         \x1b[38:5:208m\x1b[48:2:0:40:255m\x1b[58:2::255:0:1m\x1b[58;5;1;4:3;31m\
         \x1b]0;work: \u{42e}; sh\x1b\\\x1b]1;\x1b\\\x1b]2;x\x1b\\\x1b]12;rgb:ff/00/7F\x1b\\\x1b]112\x1b\\\
         \x07",
    ] {
        comes_out(sequences.as_bytes(), sequences);
    }
}

#[test]
fn what_is_spelled_otherwise_is_spelled_the_one_way() {
    for (input, expected) in [
        ("\x1b[m", "\x1b[0m"),
        ("\x1b[;;m", "\x1b[0;0;0m"),
        ("\x1b[0H\x1b[;5H\x1b[007;0008H", "\x1b[H\x1b[0;5H\x1b[7;8H"),
        ("\x1b[0J\x1b[0K\x1b[ q", "\x1b[J\x1b[K\x1b[0 q"),
        ("\x1b[?12;25h", "\x1b[?12h\x1b[?25h"),
        ("\x1b[38:2::1:2:3m\x1b[38:2:7:1:2:3m", "\x1b[38:2::1:2:3m\x1b[38:2::1:2:3m"),
        ("\x1b]2;x\x07\x1b]112\x07\x1b]112;\x07", "\x1b]2;x\x1b\\\x1b]112\x1b\\\x1b]112\x1b\\"),
        // A control in the middle of a sequence comes before it, as in a terminal.
        ("\x1b[3\r\n1m", "\r\n\x1b[31m"),
        // A number too large is a number too large, not what remains of it.
        ("\x1b[70000A\x1b[18446744073709551617B", "\x1b[9999A\x1b[9999B"),
    ] {
        comes_out(input.as_bytes(), expected);
    }
}

/// Each with what it would do.
const DROPPED: &[(&str, &str)] = &[
    ("answers: who are you", "\x1b[c\x1b[0c\x1b[>c\x1b[=c\x1b[>q\x1b[?1c\x1bZ\x05"),
    (
        "answers: status, cursor, parameters, checksum",
        "\x1b[5n\x1b[6n\x1b[?6n\x1b[?996n\x1b[x\x1b[1x\x1b[1;1;1;1;1;1*y",
    ),
    (
        "answers: modes, settings, strings",
        "\x1b[4$p\x1b[?2026$p\x1bP$qm\x1b\\\x1bP+q544e\x1b\\\x1b[?u\x1b[?4m\x1b[?1;1S\x1b[\"v\x1b[1$u\x1b[2$w",
    ),
    (
        "answers: window and title; moves, resizes, iconifies",
        "\x1b[t\x1b[8;1;1t\x1b[14t\x1b[18t\x1b[21t\x1b[22;0;0t\x1b[23;0;0t\x1b[2t\x1b[>1t",
    ),
    (
        "answers: colours, font, selection",
        "\x1b]4;1;?\x07\x1b]10;?\x1b\\\x1b]11;?\x07\x1b]12;?\x07\x1b]17;?\x07\x1b]50;?\x07\x1b]52;c;?\x07\
         \x1b]5522;type=read\x07",
    ),
    (
        "colours of the guest's own",
        "\x1b]4;1;rgb:00/00/00\x07\x1b]10;#000000\x07\x1b]11;black\x07\x1b]12;red\x07\x1b]12;rgb:0/0/0\x07\
         \x1b]12;rgb:00/00/00;?\x07\x1b]104\x07\x1b]110\x07\x1b]112;1\x07",
    ),
    ("the clipboard", "\x1b]52;c;cm0K\x07\x1b]52;;cm0K\x1b\\\x1b]5522;x\x07"),
    (
        "notifications, files, directory, links, fonts, marks",
        "\x1b]9;x\x07\x1b]777;notify;x;y\x07\x1b]99;;x\x07\x1b]7;file://h/\x07\x1b]8;;http://h/\x07\
         \x1b]8;;\x07\x1b]50;x\x07\x1b]133;A\x07\x1b]1337;File=:eA==\x07\x1b]633;E;x\x07\x1b]3;WM_NAME=x\x07\
         \x1b]l;x\x07\x1b]L;x\x07",
    ),
    (
        "strings of every kind",
        "\x1bPq#0~\x1b\\\x1bPtmux;\x1b\x1b]52;c;eA==\x07\x1b\\\x1bP1000p\x1b\\\x1bP=1s\x1b\\\
         \x1bP1;2|17/78\x1b\\\x1b_Gf=24;eA==\x1b\\\x1b^x\x1b\\\x1bXx\x1b\\",
    ),
    ("printing", "\x1b[i\x1b[4i\x1b[5i\x1b[?5i\x1b[?4i\x1b[?1i"),
    (
        "the keyboard",
        "\x1b[>4;2m\x1b[>4m\x1b[>4n\x1b[>1u\x1b[=1;1u\x1b[<u\x1b[u\x1b[2h\x1b[12l\x1b[20h\x1b[4h\x1b[?67h\
         \x1b[?66h\x1b[?1034h\x1b[?1035l\x1b[?1036h\x1b[?1039h\x1b[?7727h\x1b[?8l\x1b[\"p\x1b[61\"p",
    ),
    (
        "reports by itself: focus, colours, size, other mice",
        "\x1b[?1004h\x1b[?2031h\x1b[?2048h\x1b[?9h\x1b[?1001h\x1b[?1007h\x1b[?1015h\x1b[?1016h\x1b[1;2;3;4;5T\
         \x1b[1;1'z\x1b[1'{\x1b['|",
    ),
    (
        "width, size, direction of the screen",
        "\x1b[?3h\x1b[?3l\x1b[?40h\x1b[?5h\x1b[?6h\x1b[?7l\x1b[?45h\x1b[132$|\x1b[40*|\x1b#8\x1b#3\x1b[?34h\
         \x1b[?80h\x1b[?2027h",
    ),
    (
        "the guest's own screen, what has scrolled away, all at once",
        "\x1b[?47h\x1b[?1047h\x1b[?1049h\x1b[?47l\x1b[?1047l\x1b[?1049l\x1b[?1048h\x1b[3J\x1b[22J\x1b[?2J\x1b[?2K\x1bc\x1b[!p\x1bl\x1bm\
         \x1b[b\x1b[9b",
    ),
    ("tab stops", "\x1bH\x1b[g\x1b[3g\x1b[?5W\x1b[W"),
    (
        "letters of another set, or fonts",
        "\x1bn\x1bo\x1b|\x1b}\x1b~\x1b%@\x1b%G\x1b(A\x1b*0\x1b-A\x1b%/B\x1b(%5\x1b[10m\x1b[11m\x1b[20m\x1b F\
         \x1b G",
    ),
    (
        "rectangles and rulers",
        "\x1b[65;1;1;9;9$x\x1b[1;1;9;9$z\x1b[1;1;9;9;1;1;1;1$v\x1b[1;1;9;9;7$r\
         \x1b[32;1;1;9;9x\x1b[32;1;1;9;9*x\x1b[1\"q\x1b[2*x\x1b[1 @\
         \x1b[1 A\x1b['}",
    ),
    (
        "more or other numbers than there are",
        "\x1b[1;2A\x1b[1;2;3H\x1b[1;2;3r\x1b[1;2;3s\x1b[1;2J\x1b[7 q\x1b[1;1 q\x1b[1:2A\x1b[?1:2h\x1b[99h\
         \x1b[32;1;1;9$x\x1b[38;5;256m\x1b[38;5m\x1b[38;2;1;2m\x1b[38;3;1m\x1b[38m\x1b[38:5:256m\x1b[4:6m\
         \x1b[4:3:1m\x1b[60m\x1b[1:2m",
    ),
    (
        "controls that draw nothing",
        "\0\x01\x04\x05\x06\x0b\x0c\x10\x11\x13\x15\x18\x1a\x1c\x1f\x7f\u{80}\u{85}\u{90}\u{9b}\u{9c}\u{9f}",
    ),
    ("another order of letters", "\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}\u{2066}\u{2067}\u{2068}\u{2069}"),
    ("cut short", "\x1b[\x18\x1b[3\x1a\x1b[?25\x18\x1bP1\x18\x1b(\x18\x1b\x1a\x1b[31\x1b\\\x1b\x1b\\\x1b_x\x18"),
];

#[test]
fn nothing_else_passes() {
    for (purpose, sequences) in DROPPED {
        comes_out(format!("{purpose}: {sequences}nothing").as_bytes(), &format!("{purpose}: nothing"));
    }
}

#[test]
fn bytes_that_are_no_letters_become_the_sign_for_them() {
    for (input, expected) in [
        // C1 controls as single bytes: CSI, OSC, DCS, ST.
        (&b"\x9b31mred\x9d2;x\x9c\x90q"[..], "\u{fffd}31mred\u{fffd}2;x\u{fffd}\u{fffd}q"),
        (b"a\xffb\xc0\x9bc", "a\u{fffd}b\u{fffd}\u{fffd}c"),
        // Cut letters, a surrogate, one past the last.
        (
            b"\xe2\x82|\xf0\x9f\x98|\xed\xa0\x80|\xf4\x90\x80\x80",
            "\u{fffd}|\u{fffd}|\u{fffd}\u{fffd}\u{fffd}|\u{fffd}\u{fffd}\u{fffd}\u{fffd}",
        ),
        (b"\xe2\x82\x1b[1mx", "\u{fffd}\x1b[1mx"),
        // What vte 0.15 makes something else of where it is cut (its issues 156 and 159).
        (b"\xd0\xb0 \xd0\xb1", "\u{430} \u{431}"),
        (b"\xc3\xa9\x1b\xff[31m", "\u{e9}\x1b[31m"),
        (b"a\xc2\x9bb", "ab"),
        (b"\x1b]2;\xff\xe2\x82\x07", "\x1b]2;\u{fffd}\u{fffd}\x1b\\"),
        (b"\x1b[3\xff1m", "\x1b[31m"),
    ] {
        comes_out(input, expected);
    }
    assert_eq!(text(&passed(b"a\xe2\x82")), "a", "the letter may still come");
}

#[test]
fn a_title_is_one_line_of_bounded_text() {
    comes_out(b"\x1b]2;a\x01\r\n\xc2\x9b21t\xe2\x80\xaeb;c;\x7f\x07", "\x1b]2;a21tb;c;\x1b\\");
    // What ends it first, an escape, begins something of its own.
    comes_out(b"\x1b]2;a\x1b[21tb\x07", "\x1b]2;a\x1b\\b\x07");
    let long = passed(format!("\x1b]0;{}\x07", "\u{42e}".repeat(5_000)).as_bytes());
    assert_eq!(text(&long), format!("\x1b]0;{}\x1b\\", "\u{42e}".repeat(LONGEST_TITLE)));
}

#[test]
fn one_bell_rings_and_a_flood_of_them_does_not() {
    comes_out(b"a\x07\x07b\x07", "a\x07b");
    let flood = passed("x\x07".repeat(10_000).as_bytes());
    assert_eq!(flood.iter().filter(|byte| **byte == 7).count(), 10_000 / 257 + 2);
    let seldom = format!("\x07{}", "x".repeat(256)).repeat(3);
    assert_eq!(text(&passed(seldom.as_bytes())), seldom);
}

#[test]
fn what_never_ends_takes_no_memory_and_what_comes_after_it_passes() {
    for (begin, fill) in [
        ("\x1b]2;", "a;"),
        ("\x1b]52;c;", "eA=="),
        ("\x1bPq", "#0;"),
        ("\x1b_G", "x"),
        ("\x1b^", "x"),
        ("\x1bX", "x"),
        ("\x1b[", "1;"),
        ("\x1b[", "9"),
        ("\x1b[1", ":"),
        ("\x1b[", "?"),
        ("\x1b[", " "),
        ("\x1b(", "("),
        ("\x1bP1", "1"),
        ("\x1b", "\x1b"),
    ] {
        let (mut filter, mut out) = (Filter::new(), Vec::new());
        filter.pass(begin.as_bytes(), &mut out);
        for _ in 0..64 {
            filter.pass(fill.repeat(4096).as_bytes(), &mut out);
        }
        assert_eq!(text(&out), "", "of {begin:?} and {fill:?} without end");
        filter.pass(b"\x18after\x1b[1m", &mut out);
        assert!(out.ends_with(b"after\x1b[1m"), "{begin:?}, {fill:?}, then {:?}", text(&out));
        assert!(out.len() < 1000 && filter.beginning.capacity() < 64);
    }
}

#[test]
fn a_sequence_with_more_numbers_than_are_read_is_not_read_at_all() {
    let numbers = |count: usize| vec!["1"; count].join(";");
    comes_out(format!("\x1b[{}m", numbers(32)).as_bytes(), &format!("\x1b[{}m", numbers(32)));
    comes_out(format!("a\x1b[{}mb", numbers(33)).as_bytes(), "ab");
    comes_out(format!("a\x1b[?{};1049hb", numbers(300)).as_bytes(), "ab");
}

#[test]
fn the_time_grows_with_the_bytes_and_not_with_their_square() {
    // A megabyte in one call took a minute where each broken byte made the parser look through the rest.
    let began = std::time::Instant::now();
    for worst in [
        &b"\xff"[..],
        b"a\xff",
        b"\xf0\x9f\x98",
        b"\x07",
        b"\x1b[;;;;;;;;m",
        b"\x1b]2;",
        b"\x1bP\xc2\x9c\xff",
        b"\x1b[:1 \x07",
    ] {
        assert!(passed(&worst.repeat((1 << 20) / worst.len())).len() <= 3 << 20);
    }
    assert!(began.elapsed().as_secs() < 20, "{:?}", began.elapsed());
}
