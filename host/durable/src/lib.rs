//! weft-durable.
