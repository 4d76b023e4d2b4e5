//! The code that goes with a grant: told by another road than the gate, so that whoever answers is who was meant.
//! Never: the code itself in the store.

use sha2::{Digest, Sha256};

use super::entrance::Entered;
use super::error::Error;
use super::parties;
use crate::grants::{Grant, Seal, Store};
use crate::ident::{Code, GrantId};
use crate::sys::files;

/// How often a code may be given.
const TRIES: u8 = 3;

/// A new code for this grant, and the line that tells it.
///
/// # Errors
/// [`Error::Session`]: no random number.
pub(super) fn new(id: &GrantId) -> Result<(Option<Seal>, String), Error> {
    let code = Code::from_random(files::random().map_err(Error::Session)?);
    let line = format!("code {}; tell it by another road, for without it nobody gets on\n", code.as_str());
    Ok((Some(Seal { of: id.clone(), digest: digest(id, &code), tries: TRIES }), line))
}

/// Asks for the code of a grant that has one; after three wrong ones there is no way on.
///
/// # Errors
/// [`Error::WrongCode`], and what comes of the question.
pub(super) fn ask(entered: &Entered<'_>, grant: &Grant) -> Result<(), Error> {
    let Some(seal) = &grant.seal else { return Ok(()) };
    let wrong = |tries| Error::WrongCode(grant.id.clone(), tries);
    if seal.tries == 0 {
        return Err(wrong(0));
    }
    let answer = entered.question(&format!("Code of {}: ", grant.id))?;
    let code = Code::parse(&answer).ok();
    let store = Store::open()?;
    let locked = store.lock()?;
    let mut current = parties::grant(&store, &grant.id)?;
    let Some(seal) = &mut current.seal else { return Err(wrong(0)) };
    if seal.tries > 0 && code.is_some_and(|code| seal.digest == digest(&seal.of, &code)) {
        return Ok(());
    }
    seal.tries = seal.tries.saturating_sub(1);
    let left = seal.tries;
    locked.put(&current)?;
    Err(wrong(left))
}

fn digest(id: &GrantId, code: &Code) -> String {
    let digest = Sha256::digest(format!("{id} {}", code.as_str()));
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
