//! Which keys did sshd take? It says so in a file of the caller's own (ExposeAuthInfo, sshd_config(5)), which makes it a
//! claim. Never: a decision by it, a byte of that file in the record.

use std::path::Path;

use base64ct::{Base64, Base64Unpadded, Encoding};
use sha2::{Digest, Sha256};

use crate::ident::Uid;
use crate::sys::files;

const LONGEST: u64 = 64 * 1024;
/// More keys than any sshd asks for.
const MOST: usize = 8;

/// The fingerprints, as ssh-keygen(1) prints them, of all keys in the file that sshd wrote; several are comma separated.
/// `None` where anything about the file is not as sshd makes it.
pub fn claimed(file: &Path, caller: Uid) -> Option<String> {
    let text = files::read_claim(file, LONGEST, caller).ok()?;
    let keys = text.lines().filter_map(|line| line.strip_prefix("publickey "));
    let fingerprints: Vec<String> = keys.take(MOST + 1).map(fingerprint).collect::<Option<_>>()?;
    (1..=MOST).contains(&fingerprints.len()).then(|| fingerprints.join(","))
}

/// Of a key as in authorized_keys: its type, its blob in base64.
fn fingerprint(key: &str) -> Option<String> {
    let mut words = key.split(' ');
    let (kind, blob) = (words.next()?, Base64::decode_vec(words.next()?).ok()?);
    let (named, _) = string(&blob)?;
    if named != kind.as_bytes() {
        return None;
    }
    let plain = match kind.strip_suffix("-cert-v01@openssh.com") {
        Some(plain) => of_certificate(plain, &blob)?,
        None => blob,
    };
    Some(format!("SHA256:{}", Base64Unpadded::encode_string(&Sha256::digest(plain))))
}

/// The blob of the key that a certificate is about: PROTOCOL.certkeys of OpenSSH.
fn of_certificate(plain: &str, blob: &[u8]) -> Option<Vec<u8>> {
    let (kind, fields) = match plain {
        "ssh-ed25519" => (plain.to_owned(), 1),
        "ssh-rsa" => (plain.to_owned(), 2),
        "sk-ssh-ed25519" => (format!("{plain}@openssh.com"), 2),
        "sk-ecdsa-sha2-nistp256" => (format!("{plain}@openssh.com"), 3),
        _ if plain.starts_with("ecdsa-sha2-nistp") => (plain.to_owned(), 2),
        _ => return None,
    };
    let (_, rest) = string(blob)?;
    let (_nonce, rest) = string(rest)?;
    let mut end = rest;
    for _ in 0..fields {
        (_, end) = string(end)?;
    }
    let key = rest.get(..rest.len().checked_sub(end.len())?)?;
    let length = u32::try_from(kind.len()).ok()?.to_be_bytes();
    Some([&length, kind.as_bytes(), key].concat())
}

/// A string of RFC 4251, and what follows it.
fn string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIElK70BV0Wd8kkkrN+59JKKDaixrPAzMKJWW3zKQfz12";

    const CERTIFICATE: &str = "ssh-ed25519-cert-v01@openssh.com AAAAIHNzaC1lZDI1NTE5LWNlcnQtdjAxQG9wZW5zc2guY29tAAAAIH0ScRdGEf5wcZc\
        96KAEYvUDFhUXCVX6sDzOqHyXUf16AAAAIElK70BV0Wd8kkkrN+59JKKDaixrPAzMKJWW3zKQfz12AAAAAAAAAAAAAAABAAAAAXg\
        AAAAJAAAABWFsaWNlAAAAAAAAAAD//////////wAAAAAAAACCAAAAFXBlcm1pdC1YMTEtZm9yd2FyZGluZwAAAAAAAAAXcGVybWl\
        0LWFnZW50LWZvcndhcmRpbmcAAAAAAAAAFnBlcm1pdC1wb3J0LWZvcndhcmRpbmcAAAAAAAAACnBlcm1pdC1wdHkAAAAAAAAADnB\
        lcm1pdC11c2VyLXJjAAAAAAAAAAAAAAAzAAAAC3NzaC1lZDI1NTE5AAAAII5dLJdRabZqPhyFxTm9WZO+WhjNkhkkjht3E9gOLvN\
        QAAAAUwAAAAtzc2gtZWQyNTUxOQAAAEDKf0TQ+oDGZ+Gn82BCKakDGyGXa3ONJDQmQnG2zPwaP9N4XxJozaYZnrGzPsfi/WrQI50\
        +6EhVe8pKhVY50ZUO";

    #[test]
    fn a_fingerprint_is_the_one_that_ssh_keygen_prints() {
        assert_eq!(fingerprint(KEY).as_deref(), Some("SHA256:lmeA5Qo5PTtEP1+tD0bt/52H9sJ9ZVjPaCxYmrSbuzk"));
        assert_eq!(
            fingerprint(CERTIFICATE).as_deref(),
            Some("SHA256:lmeA5Qo5PTtEP1+tD0bt/52H9sJ9ZVjPaCxYmrSbuzk"),
            "a certificate has its key's"
        );
    }

    #[test]
    fn what_is_no_key_has_none() {
        let other = KEY.replace("ssh-ed25519 ", "ssh-rsa ");
        for text in ["", "ssh-ed25519", "ssh-ed25519 ", "ssh-ed25519 %%%", "ssh-ed25519 AAAA", "x AAAAAXg", &other] {
            assert_eq!(fingerprint(text), None, "{text:?}");
        }
    }
}
