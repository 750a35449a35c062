//! weft-mesh.
