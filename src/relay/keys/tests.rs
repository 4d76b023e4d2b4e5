use super::*;

/// What is pressed when this comes all at once.
fn pressed(input: &[u8]) -> Vec<Pressed> {
    slowly(&mut Keys::new(&[2, 1]), input, Duration::ZERO)
}

fn slowly(keys: &mut Keys, input: &[u8], pause: Duration) -> Vec<Pressed> {
    let start = keys.last.unwrap_or_else(Instant::now);
    (1..).zip(input).filter_map(|(n, byte)| keys.typed(&[*byte], start + n * pause)).collect()
}

const QUIT: [Pressed; 1] = [Pressed::Quit];

#[test]
fn the_ways_out_are_q_control_c_and_a_prefix_with_d() {
    assert_eq!(pressed(b"q"), QUIT);
    assert_eq!(pressed(b"\x03"), QUIT);
    assert_eq!(pressed(b"\x02d"), [Pressed::Detach(1)]);
    assert_eq!(pressed(b"\x01d"), [Pressed::Detach(1)]);
    for byte in (0..=255).filter(|byte| ![b'q', 3].contains(byte)) {
        assert_eq!(pressed(&[byte]), [], "{byte:#x}");
        assert_eq!(pressed(&[byte, b'd']).is_empty(), ![1, 2].contains(&byte), "{byte:#x} d");
    }
}

#[test]
fn no_list_of_prefixes_takes_the_ways_out_away() {
    for prefixes in [b"".as_slice(), b"\x01", b"d", b"q", b"\x03", b"dq\x03\x02"] {
        let typed = |input: &[u8]| Keys::new(prefixes).typed(input, Instant::now());
        assert_eq!(typed(b"q"), Some(Pressed::Quit), "{prefixes:?}");
        assert_eq!(typed(b"\x03"), Some(Pressed::Quit), "{prefixes:?}");
        assert_eq!(typed(b"\x02d\x02d\x02d"), Some(Pressed::Detach(3)), "{prefixes:?}");
    }
}

#[test]
fn of_the_ways_out_in_one_read_the_loudest_counts() {
    let typed = |input: &[u8]| Keys::new(&[2]).typed(input, Instant::now());
    assert_eq!(typed(b"x"), None);
    assert_eq!(typed(b"xqx"), Some(Pressed::Quit));
    assert_eq!(typed(b"\x02d\x02d\x02dq\x02d"), Some(Pressed::Detach(3)));
}

#[test]
fn any_other_key_takes_the_prefix_back() {
    for input in ["\x02x\x1bd", "\x02xd", "\x02\x02d", "\x02\x1b[Ad", "\x02\x1bOAd", "\x02\x1bxd", "\x02\rd", "dd\x02D"]
    {
        assert_eq!(pressed(input.as_bytes()), [], "{input:?}");
    }
    assert_eq!(
        pressed(b"\x02\x1b[<35;10;10M\x1b[I\x1b[M !!d"),
        [Pressed::Detach(1)],
        "the mouse and the focus are no keys"
    );
}

#[test]
fn detaches_are_counted_while_nothing_else_is_typed() {
    let four = [1, 2, 3, 4].map(Pressed::Detach);
    assert_eq!(pressed(b"\x02d\x02d\x01d\x1b[<0;1;1m\x02d"), four);
    assert_eq!(pressed(b"\x02d\x02dx\x02d"), [1, 2, 1].map(Pressed::Detach));
    assert_eq!(pressed(b"\x02d\x02d\x1b[A\x02d"), [1, 2, 1].map(Pressed::Detach));
    assert_eq!(pressed(b"\x02d\x02\x02d\x02d"), [1, 1].map(Pressed::Detach));
}

/// All that a terminal sends with a `q` or a prefix and `d` inside that is none.
const NONE: &[&str] = &[
    "\x1bq",                       // Alt-q
    "\x1b\x1bq",                   // Escape, Alt-q
    "\x1bOq",                      // 1 on the keypad
    "\x1bO2q",                     // with shift, on some
    "\x1b[q",                      // nothing that a terminal sends, and a sequence
    "\x1b[1;5q",                   // ...
    "\x1b[0 q",                    // ...
    "\x1b[[q",                     // a function key on a console
    "\x1b[Mqqq",                   // the mouse, reported as three bytes
    "\x1b[M\u{71}\u{1ff}q",        // ... as three characters (mode 1005)
    "\x1b[<0;113;113M",            // ... as numbers
    "\x1b[200~q\x1b[201~",         // a paste
    "\x1b[200~\x03\x02d\x1b[201~", // ...
    "\x1b[200~\x1b[201q\x1b[201~", // ... with what looks like its end
    "\x1b[200~\x1b\x1b[201~",      // ... with ESC before its end
    "\x1b]11;rgb:q\x07",           // an answer
    "\x1b]11;rgb:q\x1b\\",         // ...
    "\x1bP1+r71=q\x1b\\",          // ...
    "\x1bP>|xterm(q)\x1b\\",       // ...
    "\x1b_Gi=1;q\x1b\\",           // ...
    "\x1b[113;3u",                 // Alt-q, written out
    "\x1b[113;1:3u",               // q let go
    "\x1b[27;3;113~",              // Alt-q, written out otherwise
    "\x1b[99;6u",                  // Ctrl-Shift-C
    "\x1b[?62;1;4q",               // ...
];

#[test]
fn what_a_terminal_sends_is_not_mistaken_for_a_way_out_however_it_is_cut() {
    for input in NONE {
        assert_eq!(pressed(input.as_bytes()), [], "{input:?}");
        let mut keys = Keys::new(&[2]);
        assert_eq!(slowly(&mut keys, input.as_bytes(), Duration::from_millis(400)), [], "{input:?}, slowly");
        assert_eq!(slowly(&mut keys, b"q", Duration::ZERO), QUIT, "{input:?} is over");
    }
}

#[test]
fn ways_out_that_a_session_had_the_terminal_write_out_are_ways_out() {
    for input in ["\x1b[113u", "\x1b[113;1u", "\x1b[113;1:1u", "\x1b[113;129u", "\x1b[99;5u", "\x1b[99;69:2u"] {
        assert_eq!(pressed(input.as_bytes()), QUIT, "{input:?}");
    }
    assert_eq!(pressed(b"\x1b[27;5;99~"), QUIT);
    assert_eq!(pressed(b"\x1b[113:81;1u"), QUIT);
    assert_eq!(pressed(b"\x1b[98;5u\x1b[98;5:3u\x1b[100u"), [], "the release of the prefix is another key");
    assert_eq!(pressed(b"\x1b[98;5u\x1b[100u"), [Pressed::Detach(1)]);
    assert_eq!(pressed(b"\x1b[27;5;98~d"), [Pressed::Detach(1)]);
}

#[test]
fn a_lone_escape_is_nothing_and_what_comes_later_is_another_key() {
    let mut keys = Keys::new(&[2]);
    assert_eq!(slowly(&mut keys, b"\x1bq", Duration::from_millis(501)), QUIT);
    assert_eq!(slowly(&mut keys, b"\x1b\x02d", Duration::from_millis(501)), [Pressed::Detach(1)]);
}

#[test]
fn what_never_ends_keeps_nobody_inside() {
    for begun in ["\x1b[", "\x1b[1;", "\x1bO", "\x1b]", "\x1bP", "\x1b_", "\x1bX", "\x1b[M", "\x1b[Mx", "\x1b]x\x1b"] {
        assert_eq!(pressed(&[begun.as_bytes(), b"\x03"].concat()), QUIT, "{begun:?} and Ctrl-C");
    }
    for begun in ["\x1b[", "\x1bO", "\x1b]", "\x1b[M", "\x1b[200~", "\x1b[200~\x1b[20"] {
        let mut keys = Keys::new(&[2]);
        assert_eq!(slowly(&mut keys, begun.as_bytes(), Duration::ZERO), []);
        assert_eq!(slowly(&mut keys, b"q", Duration::from_millis(2001)), QUIT, "{begun:?} and q after a while");
    }
}

#[test]
fn a_sequence_that_another_one_cuts_short_hides_nothing() {
    for begun in ["\x1b[1", "\x1bO", "\x1b]x", "\x1b[M!"] {
        assert_eq!(pressed(&[begun.as_bytes(), b"\x1b[Aq"].concat()), QUIT, "{begun:?}");
        assert_eq!(pressed(&[begun.as_bytes(), b"\x1b[200~q\x1b[201~"].concat()), [], "{begun:?}");
    }
}

#[test]
fn a_long_sequence_takes_no_room() {
    let mut keys = Keys::new(&[2]);
    assert_eq!(slowly(&mut keys, b"\x1b[", Duration::ZERO), []);
    assert_eq!(slowly(&mut keys, &[b'1'; 100_000], Duration::ZERO), []);
    assert!(keys.numbers.capacity() <= LONGEST);
    assert_eq!(slowly(&mut keys, b"qq", Duration::ZERO), QUIT);
}
