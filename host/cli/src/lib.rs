//! weft-cli.
