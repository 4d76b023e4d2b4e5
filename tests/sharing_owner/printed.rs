//! The owner prints whatever a terminal may obey: by a server of her own making, and by what a real tmux passes on.

use super::host;
use super::hostile::attacked;
use super::server;
use super::visit::{self, Visit};
use crate::host::LIMIT;

/// Bytes by chance, biased towards what terminals obey: the same in every run.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 20) as usize % limit
    }

    fn sequence(&mut self, into: &mut Vec<u8>) {
        match self.below(6) {
            0 => (0..self.below(9)).for_each(|_| into.push(self.below(256) as u8)),
            1 => into.extend_from_slice(PIECES[self.below(PIECES.len())]),
            2 | 3 => into.extend_from_slice(EVIL[self.below(EVIL.len())]),
            4 => {
                into.extend_from_slice([&b"\x1b["[..], b"\x1b[?", b"\x1b[>", b"\x1b[=", b"\xc2\x9b"][self.below(5)]);
                into.extend(format!("{};{}", self.below(70), self.below(3000)).bytes());
                into.push(0x20 + self.below(0x5f) as u8);
            }
            // Cut off in the middle.
            _ => {
                let whole = EVIL[self.below(EVIL.len())];
                into.extend_from_slice(&whole[..self.below(whole.len())]);
            }
        }
    }
}

const PIECES: [&[u8]; 12] = [
    b"text",
    b"\xe6\xbc\xa2",
    b"\xe6\xbc",
    b"\xf0\x9f\x98\x80",
    b"\xf0\x9f",
    b"\xc0\x80",
    b"\xed\xa0\x80",
    b"\xff\xfe",
    b"\r\n",
    b"\x18",
    b"\x1a",
    b"\xe2\x80\xae",
];

/// What makes terminals answer, type, print, write files and clipboards, change for good, or forget what they were in.
const EVIL: [&[u8]; 60] = [
    b"\x05",
    b"\x1bZ",
    b"\x1b[c",
    b"\x1b[0c",
    b"\x1b[>c",
    b"\x1b[=c",
    b"\x1b[>q",
    b"\x1b[5n",
    b"\x1b[6n",
    b"\x1b[?6n",
    b"\x1b[?15n",
    b"\x1b[?25n",
    b"\x1b[?26n",
    b"\x1b[x",
    b"\x1b[21t",
    b"\x1b[20t",
    b"\x1b[14t",
    b"\x1b[18t",
    b"\x1b[22;0;0t",
    b"\x1b[23;0t",
    b"\x1b[8;1;1t",
    b"\x1b[3;9999;9999t",
    b"\x1b]2;evil\x07\x1b[21t",
    b"\x1b]52;c;ZXZpbAo=\x07",
    b"\x1b]52;c;?\x07",
    b"\x1b]52;p;ZXZpbAo=\x1b\\",
    b"\x1b]50;?\x07",
    b"\x1b]4;1;?\x07",
    b"\x1b]10;?\x1b\\",
    b"\x1b]11;?\x07",
    b"\x1b]12;?\x07",
    b"\x1b]8;;http://evil/\x07here\x1b]8;;\x07",
    b"\x1b]9;evil\x07",
    b"\x1b]777;notify;evil;evil\x07",
    b"\x1b]1337;File=name=ZQ==;inline=0:ZXZpbA==\x07",
    b"\x1b]1337;Custom=id=evil:evil\x07",
    b"\x1bP$qm\x1b\\",
    b"\x1bP$q\"p\x1b\\",
    b"\x1bP+q544e\x1b\\",
    b"\x1bP1000p%begin 1 1 1\r\n\x1b\\",
    b"\x1bPtmux;\x1b\x1b]52;c;ZXZpbAo=\x07\x1b\\",
    b"\x1bPq#0;2;0;0;0#0~~@@vv@@~~$-\x1b\\",
    b"\x1bP1;1|17/6576696c\x1b\\",
    b"\x1b_Gf=24,s=1,v=1;AAAA\x1b\\",
    b"\x1b^evil\x1b\\",
    b"\x1bXevil\x1b\\",
    b"\x1b[>1u",
    b"\x1b[=5;1u",
    b"\x1b[?u",
    b"\x1b[>4;2m",
    b"\x1b[?1004h",
    b"\x1b[?9h",
    b"\x1b[?1015h\x1b[?1016h",
    b"\x1b[?1049l",
    b"\x1b[?47l\x1b[?1047l\x1b[?1048l",
    b"\x1bc",
    b"\x1b[!p",
    b"\x1b[3J",
    b"\x1b[4i\x1b[5i\x1b[i",
    b"\x1b#8\x1b[?3h\x1b[?5h",
];

#[test]
fn of_all_that_a_server_prints_only_the_allow_list_arrives_and_the_end_puts_the_terminal_right() {
    const MARK: &str = "end of round";
    let host = host();
    let (_server, hears) = attacked(&host, |client| {
        client.send(server::READY, b"");
        let mut chance = Chance(0x2545_f491_4f6c_dd1d);
        let mut bytes = Vec::new();
        EVIL.iter().for_each(|evil| bytes.extend_from_slice(evil));
        for _ in 0..60_000 {
            chance.sequence(&mut bytes);
            // Whole, and cut anywhere.
            if chance.below(8) == 0 {
                client.print_raw(&bytes);
                bytes.clear();
            }
        }
        client.print_raw(&bytes);
        // Each byte by itself.
        EVIL.iter().flat_map(|evil| evil.chunks(1)).for_each(|byte| client.print_raw(byte));
        // Out of whatever it is in the middle of.
        client.print_raw(format!("\x18\x1b\\\x1b(B\x0f{MARK}").as_bytes());
        client.listen();
        String::new()
    });
    let mut bob = Visit::prepare(&host);
    bob.set_out();
    bob.person.expect(MARK);
    bob.leave("q");
    hears.recv_timeout(LIMIT).unwrap();
    bob.expect_only_the_allow_list();
    let shown = bob.sessions().concat();
    assert!(shown.len() > 100_000, "{} bytes were shown", shown.len());
    let said = bob.person.command("read -t 0.2 -n 1 x; echo typed=$x.");
    assert!(said.text.contains("typed=."), "something is in his terminal's input: {said:?}");
}

#[test]
fn of_what_the_owner_makes_a_real_tmux_pass_on_only_the_allow_list_arrives() {
    let host = host();
    let mut alice = visit::at_work(&host);
    let mut bob = Visit::prepare(&host);
    let mut chance = Chance(7);
    let mut bytes = Vec::new();
    for evil in EVIL {
        let doubled: Vec<u8> =
            evil.iter().flat_map(|byte| if *byte == 0x1b { vec![0x1b; 2] } else { vec![*byte] }).collect();
        bytes.extend([b"\x1bPtmux;", doubled.as_slice(), b"\x1b\\", evil].concat());
    }
    (0..2000).for_each(|_| chance.sequence(&mut bytes));
    bytes.extend(b"\x18\x1b\\\x1bc");
    host.write("/tmp/evil", &bytes, 0o644);
    // The server writes to a terminal what the owner says that its capabilities are.
    let capabilities =
        r"*:clear=\E]52;c;ZXZpbAo=\007\E[H\E[2J:cup=\E[6n\E[%i%p1%d;%p2%dH:Ms=\E]52;%p1%s;%p2%s\007:sgr0=\E[c\E[m";
    let options = "tmux set -g allow-passthrough on; tmux set -g set-clipboard on; tmux set -g set-titles on; \
                   tmux set -g focus-events on; tmux set -g mouse on; tmux set -g visual-bell off";
    assert_eq!(alice.inside(options).status, 0);
    assert_eq!(alice.inside(&format!("tmux set -ga terminal-overrides '{capabilities}'")).status, 0);
    bob.join();
    // tmux answers what is asked of it, into the pane: all of that is read.
    alice.inside("stty -echo; cat /tmp/evil; tmux set-buffer -w evil; read -s -t 0.5 -N 100000 x; stty sane");
    alice.send("\x03clear; echo all of it is $((40 + 2))\r");
    bob.person.expect("all of it is 42");
    bob.leave("q");
    bob.expect_only_the_allow_list();
}
