//! Which colours and attributes pass? Those that change how letters look; no other font.
//! Never: an empty list where nothing passes, for it would turn everything off.

use vte::{Params, ParamsIter};

use super::sequences::{list, number};

/// Appends the control sequence to `out` with what passes of it.
pub fn write(params: &Params, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(b"\x1b[");
    let empty = out.len();
    let mut rest = params.iter();
    while let Some(param) = rest.next() {
        let before = out.len();
        if before > empty {
            out.push(b';');
        }
        match one(param, &mut rest, out) {
            Passed::Yes => {}
            Passed::No => out.truncate(before),
            Passed::NorTheRest => {
                out.truncate(before);
                break;
            }
        }
    }
    match out.len() > empty {
        true => out.push(b'm'),
        false => out.truncate(start),
    }
}

enum Passed {
    Yes,
    No,
    /// Where the numbers of a colour end is not to be told.
    NorTheRest,
}

fn one(param: &[u16], rest: &mut ParamsIter<'_>, out: &mut Vec<u8>) -> Passed {
    match *param {
        [plane @ (38 | 48 | 58)] => match colour(rest) {
            Some(Colour::Indexed(index)) => list(&[plane, 5, index], b';', out),
            Some(Colour::Direct(red, green, blue)) => list(&[plane, 2, red, green, blue], b';', out),
            None => return Passed::NorTheRest,
        },
        [plane @ (38 | 48 | 58), 5, index @ 0..=255] => list(&[plane, 5, index], b':', out),
        [plane @ (38 | 48 | 58), 2, red @ 0..=255, green @ 0..=255, blue @ 0..=255] => {
            list(&[plane, 2, red, green, blue], b':', out);
        }
        // With a place for the colour space, which stays empty.
        [plane @ (38 | 48 | 58), 2, _, red @ 0..=255, green @ 0..=255, blue @ 0..=255] => {
            list(&[plane, 2], b':', out);
            out.extend_from_slice(b"::");
            list(&[red, green, blue], b':', out);
        }
        // How it is underlined.
        [4, style @ 0..=5] => list(&[4, style], b':', out),
        // 10 to 20 change the font, on the Linux console to one that shows controls as letters.
        [attribute @ (0..=9 | 21..=37 | 39..=47 | 49..=55 | 59 | 90..=97 | 100..=107)] => number(attribute, out),
        _ => return Passed::No,
    }
    Passed::Yes
}

enum Colour {
    Indexed(u16),
    Direct(u16, u16, u16),
}

/// A colour in parameters of its own.
fn colour(rest: &mut ParamsIter<'_>) -> Option<Colour> {
    let mut next = || match rest.next() {
        Some(&[value @ 0..=255]) => Some(value),
        _ => None,
    };
    match next()? {
        5 => Some(Colour::Indexed(next()?)),
        2 => Some(Colour::Direct(next()?, next()?, next()?)),
        _ => None,
    }
}
