//! The allow list as a grammar of its own: written from what terminals do, not from the filter, and without its parser.

/// Where the first byte is that belongs to nothing on the list.
pub fn breach(output: &[u8]) -> Option<usize> {
    let mut rest = output;
    while !rest.is_empty() {
        match sequence(rest) {
            Some(length) => rest = &rest[length..],
            None => return Some(output.len() - rest.len()),
        }
    }
    None
}

/// How long the first thing of `rest` is.
fn sequence(rest: &[u8]) -> Option<usize> {
    match rest {
        [b' '..=b'~' | 7..=10 | 13..=15, ..] => Some(1),
        [0x1b, b'7' | b'8' | b'=' | b'>' | b'D' | b'E' | b'M', ..] => Some(2),
        [0x1b, b'(' | b')', b'0' | b'B', ..] => Some(3),
        [0x1b, b'[', body @ ..] => {
            let length = body.iter().position(|byte| (b'@'..=b'~').contains(byte))?;
            let known = control_sequence(std::str::from_utf8(&body[..length]).ok()?, body[length]);
            known.then_some(length + 3)
        }
        [0x1b, b']', body @ ..] => {
            let length = body.windows(2).position(|pair| pair == b"\x1b\\")?;
            command(std::str::from_utf8(&body[..length]).ok()?).then_some(length + 4)
        }
        [0xc2..=0xf4, ..] => {
            let letter = (2..=4).find_map(|length| std::str::from_utf8(rest.get(..length)?).ok())?.chars().next()?;
            is_text(letter).then_some(letter.len_utf8())
        }
        _ => None,
    }
}

fn is_text(letter: char) -> bool {
    let bidi = "\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}\u{2066}\u{2067}\u{2068}\u{2069}";
    !letter.is_control() && !bidi.contains(letter)
}

fn command(body: &str) -> bool {
    match body.split_once(';') {
        Some(("0" | "1" | "2", title)) => title.chars().all(is_text) && title.chars().count() <= 200,
        Some(("12", colour)) => {
            let shape: String = colour.chars().map(|c| if c.is_ascii_hexdigit() { 'h' } else { c }).collect();
            // The letter b of rgb is a digit as well.
            shape == "rgh:hh/hh/hh" && colour.starts_with("rgb:")
        }
        _ => body == "112",
    }
}

/// As the filter spells numbers: no leading zero, at most 9999.
fn is_number(word: &str) -> bool {
    word.len() <= 4 && word.parse::<u16>().is_ok_and(|number| number.to_string() == word)
}

fn control_sequence(body: &str, last: u8) -> bool {
    let numbers = |most| body.is_empty() || body.split(';').all(is_number) && body.split(';').count() <= most;
    match last {
        b'm' => rendition(body),
        b'h' | b'l' => mode(body),
        b'J' | b'K' => ["", "1", "2"].contains(&body),
        b'H' | b'f' | b'r' | b's' => numbers(2),
        b'q' => body.len() == 2 && body.ends_with(' ') && ('0'..='6').contains(&body.chars().next().unwrap()),
        b'x' => body
            .strip_prefix("32;")
            .and_then(|rest| rest.strip_suffix('$'))
            .is_some_and(|rectangle| rectangle.split(';').all(is_number) && rectangle.split(';').count() == 4),
        _ => b"@ABCDEFGILMPSTXZ`ade".contains(&last) && numbers(1),
    }
}

fn mode(body: &str) -> bool {
    let known = ["34", "?1", "?12", "?25", "?69", "?1000", "?1002", "?1003", "?1005", "?1006", "?2004", "?2026"];
    known.contains(&body)
}

fn rendition(body: &str) -> bool {
    let small = |word: &&str| is_number(word) && word.parse::<u16>().unwrap() < 256;
    let mut words = body.split(';');
    while let Some(word) = words.next() {
        let known = match word.split(':').collect::<Vec<_>>()[..] {
            ["38" | "48" | "58"] => match words.next() {
                Some("5") => words.next().as_ref().is_some_and(small),
                Some("2") => (0..3).all(|_| words.next().as_ref().is_some_and(small)),
                _ => false,
            },
            ["38" | "48" | "58", "5", index] => small(&index),
            ["38" | "48" | "58", "2", red, green, blue] | ["38" | "48" | "58", "2", "", red, green, blue] => {
                [red, green, blue].iter().all(small)
            }
            ["4", style] => ["0", "1", "2", "3", "4", "5"].contains(&style),
            [number] => {
                is_number(number)
                    && !(10..21).chain(60..90).chain(98..100).chain(108..10_000).any(|n| n.to_string() == number)
                    && !["56", "57"].contains(&number)
            }
            _ => false,
        };
        if !known {
            return false;
        }
    }
    true
}

#[test]
fn the_grammar_notices_what_is_not_in_it() {
    for wrong in [
        "\x1b[c|\x1b[3J|\x1b[?1049h|\x1b[?1049l|\x1b[?1004h|\x1b[m|\x1b[11m|\x1b[38;5;256m|\x1b[99999A|\x1b[01A|\x1b[1;2A|\x1b[3"
            .split('|'),
        "\x1bc|\x1b|\x1bPq\x1b\\|\x1b]52;c;x\x1b\\|\x1b]12;?\x1b\\|\x1b]2;x\x07|\x1b]2;x|\u{9b}|\u{202e}|\x05|\x7f"
            .split('|'),
    ] {
        for sequence in wrong {
            assert_eq!(breach(format!("ab{sequence}").as_bytes()), Some(2), "{sequence:?}");
        }
    }
    assert_eq!(breach(b"\x9b"), Some(0));
}
