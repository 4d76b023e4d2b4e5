//! What tmux wrote: a session on a screen of 10 by 36, with panes and windows, colours, line drawing, titles, a
//! full-screen program, the mouse, copy mode, a menu and a popup, recorded from tmux 3.3a for three kinds of terminal,
//! and from tmux 3.7 for an xterm with every terminal feature switched on. The files hold it as text: `\e`, `\r`, `\n`,
//! `\x07`, a backslash twice, and an end of line that stands for nothing.

use std::collections::BTreeSet;

use vte::{Params, Parser, Perform};

use super::{grammar, passed, passed_in, text};

#[path = "../../../../tests/host/screen.rs"]
#[allow(dead_code)] // It can do more, for others.
mod screen;

struct Sample {
    terminal: &'static str,
    recorded: &'static str,
    /// The operations that do not pass, each of which is there, with bars between.
    dropped: &'static str,
}

const SAMPLES: &[Sample] = &[
    Sample {
        terminal: "xterm-256color",
        recorded: include_str!("samples/xterm-256color.txt"),
        dropped: "CSI ?1004h|CSI ?1004l|CSI ?1049h|CSI ?1049l|CSI ?2031h|CSI ?2031l|CSI ?7727h|CSI ?7727l|CSI ?996n|CSI 0c|\
             CSI 14t|CSI 18t|CSI 22;0;0t|CSI 23;0;0t|CSI >0c|CSI >0q|CSI >4;2m|CSI >4m|OSC 10;?|OSC 11;?|\
             OSC 52;;CiQ=|OSC 7;",
    },
    Sample {
        terminal: "screen",
        recorded: include_str!("samples/screen.txt"),
        dropped: "CSI ?1004h|CSI ?1004l|CSI ?1049h|CSI ?1049l|CSI ?7727h|CSI ?7727l|CSI >0c|CSI >0q",
    },
    Sample {
        terminal: "linux",
        recorded: include_str!("samples/linux.txt"),
        dropped: "CSI ?0c|CSI ?1004h|CSI ?1004l|CSI ?1c|CSI ?7727h|CSI ?7727l|CSI ?8c|CSI >0c|CSI >0q",
    },
    Sample {
        terminal: "vt100",
        recorded: include_str!("samples/vt100.txt"),
        dropped: "CSI ?1004h|CSI ?1004l|CSI ?7727h|CSI ?7727l|CSI >0c|CSI >0q",
    },
];

impl Sample {
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut rest = self.recorded;
        while let Some(letter) = rest.chars().next() {
            let length = match rest.as_bytes() {
                [b'\\', b'x', high, low, ..] => {
                    let code = [*high, *low];
                    bytes.push(u8::from_str_radix(std::str::from_utf8(&code).unwrap(), 16).unwrap());
                    4
                }
                [b'\\', code, ..] => {
                    let plain = [(b'e', 0x1b), (b'r', b'\r'), (b'n', b'\n'), (b'\\', b'\\')];
                    bytes.push(plain.iter().find(|(known, _)| known == code).expect("an escape that is known").1);
                    2
                }
                [b'\n', ..] => 1,
                _ => {
                    bytes.extend_from_slice(letter.to_string().as_bytes());
                    letter.len_utf8()
                }
            };
            rest = &rest[length..];
        }
        bytes
    }
}

/// What a parser makes of bytes, one string an operation, modes one by one.
#[derive(Default)]
struct Operations(Vec<String>);

impl Operations {
    fn of(bytes: &[u8]) -> Vec<String> {
        let mut operations = Self::default();
        Parser::new().advance(&mut operations, bytes);
        operations.0
    }
}

impl Perform for Operations {
    fn print(&mut self, letter: char) {
        self.0.push(letter.to_string());
    }

    fn execute(&mut self, control: u8) {
        self.0.push(format!("control {control}"));
    }

    fn esc_dispatch(&mut self, intermediates: &[u8], _: bool, last: u8) {
        // The end of a command's string says nothing by itself.
        if last != b'\\' {
            self.0.push(format!("ESC {}{}", text(intermediates), char::from(last)));
        }
    }

    fn csi_dispatch(&mut self, params: &Params, intermediates: &[u8], _: bool, last: char) {
        let words = params.iter().map(|param| param.iter().map(u16::to_string).collect::<Vec<_>>().join(":"));
        let marks = text(intermediates);
        match (marks.as_str(), last) {
            ("?", 'h' | 'l') => self.0.extend(words.map(|mode| format!("CSI ?{mode}{last}"))),
            _ => self.0.push(format!("CSI {marks}{}{last}", words.collect::<Vec<_>>().join(";"))),
        }
    }

    fn osc_dispatch(&mut self, parts: &[&[u8]], _: bool) {
        self.0.push(format!("OSC {}", text(&parts.join(&b';'))));
    }

    fn hook(&mut self, _: &Params, _: &[u8], _: bool, last: char) {
        self.0.push(format!("DCS {last}"));
    }
}

#[test]
fn of_what_tmux_writes_everything_passes_but_what_is_not_for_drawing() {
    for sample in SAMPLES {
        let (terminal, bytes) = (sample.terminal, sample.bytes());
        let dropped: BTreeSet<_> = sample.dropped.split('|').collect();
        let (lost, kept): (Vec<_>, Vec<_>) =
            Operations::of(&bytes).into_iter().partition(|o| dropped.contains(o.as_str()));
        assert_eq!(Operations::of(&passed(&bytes)), kept, "{terminal}");
        let lost: BTreeSet<_> = lost.iter().map(String::as_str).collect();
        assert_eq!(lost, dropped, "{terminal}");
        assert!(kept.len() > 1000, "{terminal}: {} operations", kept.len());
    }
}

#[test]
fn a_session_looks_the_same_through_the_filter() {
    for sample in SAMPLES {
        let (mut filter, mut plain, mut filtered) =
            (super::Filter::new(), screen::Screen::new(10, 36), screen::Screen::new(10, 36));
        let mut shown = BTreeSet::new();
        let bytes = sample.bytes();
        // Leaving the alternate screen is the front's, at the end.
        let end = bytes.windows(8).position(|window| window == b"\x1b[?1049l").unwrap_or(bytes.len());
        for piece in bytes[..end].chunks(11) {
            let mut out = Vec::new();
            filter.pass(piece, &mut out);
            plain.feed(piece);
            filtered.feed(&out);
            assert_eq!(filtered.text(), plain.text(), "{}", sample.terminal);
            shown.insert(plain.text());
        }
        assert!(shown.len() > 100 && shown.iter().any(|screen| screen.contains("popup")), "{}", sample.terminal);
    }
}

#[test]
fn what_tmux_writes_comes_out_the_same_however_it_is_cut_and_however_often_it_is_filtered() {
    for sample in SAMPLES {
        let bytes = sample.bytes();
        let out = passed(&bytes);
        assert_eq!(grammar::breach(&out), None, "{}", sample.terminal);
        assert_eq!(text(&passed(&out)), text(&out), "{}", sample.terminal);
        for size in 1..40 {
            assert_eq!(text(&passed_in(bytes.chunks(size))), text(&out), "{} in pieces of {size}", sample.terminal);
        }
    }
}
