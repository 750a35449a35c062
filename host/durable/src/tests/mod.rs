//! Tests of the engine on a simulated disk.

mod crashes;
mod life;
mod orders;
mod programs;
mod recovering;
mod scale;
mod together;
