//! The durable capability: sagas of `weft:durable` on the engine of `weft-durable`. There is one backend as yet, so what
//! a backend is stands in that crate; here is the glue between instances and it.

pub mod glue;
