//! The suite that every backend of the sql capability has to pass.
