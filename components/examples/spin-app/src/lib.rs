//! Notes: a plain application of Spin, written with its SDK alone. Spin runs it by `spin up`, Weft by `weft up --manifest
//! components/examples/spin-app/spin.toml`; nothing in it knows of either.

mod notes;
