//! Does the host know a terminal of that name, and can tmux draw on it? The system's compiled descriptions are read, see term(5).
//! Never: the caller's own descriptions; ncurses (CVE-2023-29491).

use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Where ncurses looks, as distributions build it.
const PLACES: [&str; 4] = ["/etc/terminfo", "/lib/terminfo", "/usr/lib/terminfo", "/usr/share/terminfo"];
/// The largest description that ncurses writes, in bytes.
const LONGEST: u64 = 32 * 1024;
/// Places in the list of strings: clear_screen, cursor_address.
const CLEAR: usize = 5;
const CURSOR: usize = 10;

/// Why not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unfit {
    /// No description.
    Unknown,
    /// It cannot clear its screen and put its cursor anywhere, by sequences that the relay lets through.
    NotAnsi,
}

/// Can a guest's client draw on it?
pub(super) fn fits(name: &str) -> Result<(), Unfit> {
    let places: Vec<&Path> = PLACES.iter().map(Path::new).filter(|place| place.is_dir()).collect();
    // Kept in another way here, or nowhere: tmux will say.
    if places.is_empty() {
        return Ok(());
    }
    // The environment lets no slash through; a directory is no description.
    let first = name.chars().next().ok_or(Unfit::Unknown)?;
    let folders = [first.to_string(), format!("{:x}", u32::from(first))];
    let found = places.iter().flat_map(|place| folders.iter().map(|folder| place.join(folder).join(name)));
    let description = found.filter(|path| path.is_file()).find_map(|path| read(&path)).ok_or(Unfit::Unknown)?;
    match draws(&description) {
        // Of a kind that is not known here: tmux will say.
        None | Some(true) => Ok(()),
        Some(false) => Err(Unfit::NotAnsi),
    }
}

fn read(path: &Path) -> Option<Vec<u8>> {
    let mut description = Vec::new();
    File::open(path).ok()?.take(LONGEST).read_to_end(&mut description).ok()?;
    Some(description)
}

/// Does it clear and address as ANSI terminals do? Nothing, if that is no compiled description.
fn draws(description: &[u8]) -> Option<bool> {
    let short = |at: usize| match description.get(at..at + 2)? {
        [low, high] => Some(i16::from_le_bytes([*low, *high])),
        _ => None,
    };
    let size = |at| usize::try_from(short(at)?).ok();
    // A magic number for numbers of 16 bits, one for those of 32.
    let width = match short(0)? {
        0o432 => 2,
        0o1036 => 4,
        _ => return None,
    };
    let (names, flags, numbers, strings, table) = (size(2)?, size(4)?, size(6)?, size(8)?, size(10)?);
    let numbers_at = (12 + names + flags).next_multiple_of(2);
    let strings_at = numbers_at + numbers * width;
    let table_at = strings_at + strings * 2;
    let text = description.get(table_at..table_at + table)?;
    let string = |place: usize| {
        let start = (place < strings).then(|| size(strings_at + place * 2)).flatten()?;
        text.get(start..)?.split(|byte| *byte == 0).next()
    };
    Some(string(CLEAR).is_some() && string(CURSOR).is_some_and(|cursor| cursor.starts_with(b"\x1b[")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminals_that_tmux_can_draw_on_are_told_from_others() {
        for (name, verdict) in [
            ("xterm-256color", Ok(())),
            ("screen", Ok(())),
            ("tmux-256color", Ok(())),
            ("linux", Ok(())),
            ("vt100", Ok(())),
            ("dumb", Err(Unfit::NotAnsi)),
            ("vt52", Err(Unfit::NotAnsi)),
            ("nonsense", Err(Unfit::Unknown)),
            ("..", Err(Unfit::Unknown)),
            (".", Err(Unfit::Unknown)),
            ("", Err(Unfit::Unknown)),
        ] {
            assert_eq!(fits(name), verdict, "{name}");
        }
    }

    #[test]
    fn a_description_that_is_cut_or_none_is_not_judged_and_no_crash() {
        let whole =
            ["/lib/terminfo/x/xterm", "/usr/share/terminfo/x/xterm"].iter().find_map(|path| read(Path::new(path)));
        let whole = whole.expect("ncurses-base");
        assert_eq!(draws(&whole), Some(true));
        for length in 0..200 {
            assert_eq!(draws(&whole[..length]), None, "{length}");
        }
        assert_eq!(draws(b"not a description at all"), None);
        let mut hostile = vec![0x1a, 0x01];
        hostile.extend([0xff, 0x7f].repeat(5));
        assert_eq!(draws(&hostile), None);
        hostile.extend([0xff; 40_000]);
        assert_eq!(draws(&hostile), None);
    }
}
