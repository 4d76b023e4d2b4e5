//! Layers on top of the base: hosts with an identity provider's packages, installed and set up once, by layers/NAME.sh.

use super::{SCRIPT_IN_BASE, in_base};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

type Built = Arc<OnceLock<Result<(), String>>>;

/// Waits until the layer is there, and builds it if nobody has.
pub(super) fn built(layer: &'static str) {
    static LAYERS: Mutex<Option<HashMap<&str, Built>>> = Mutex::new(None);
    let mut layers = LAYERS.lock().unwrap_or_else(PoisonError::into_inner);
    let built = layers.get_or_insert_default().entry(layer).or_default().clone();
    drop(layers);
    if let Err(error) = built.get_or_init(|| build(layer)) {
        panic!("{error}");
    }
}

fn build(layer: &str) -> Result<(), String> {
    let output = in_base("bash").args(["-eu", SCRIPT_IN_BASE, "layer", layer]).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(format!("layer {layer} ({}): {stderr}", output.status)) }
}
