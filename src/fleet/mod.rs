//! The fleet: the machines that a provider offers. A provider fills it in, settings change it, planning reads it; nothing here knows
//! a provider.

pub mod executor;
pub mod requirement;
pub mod size;
pub mod system;
