//! Devices: the only file that names a burn backend.

use serde::{Deserialize, Serialize};

/// A device by its spelling: `auto`, `cpu`, `gpu:0`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceSpec;
