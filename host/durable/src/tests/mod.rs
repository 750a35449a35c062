//! Tests of the engine on a simulated disk.

mod crashes;
mod life;
mod recovering;
mod together;
