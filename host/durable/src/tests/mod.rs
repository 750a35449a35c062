//! Tests of the engine on a simulated disk.

mod crashes;
mod life;
mod programs;
mod recovering;
mod together;
