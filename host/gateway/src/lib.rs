//! weft-gateway.
