//! Tests of the engine on a simulated disk.

mod choreographies;
mod crashes;
mod life;
mod orders;
mod programs;
mod recovering;
mod scale;
mod schedules;
mod together;
