//! GitLab CI: a plan goes in, a child pipeline that is complete in itself comes out.

pub mod environment;
pub mod limits;
pub mod machines;
pub mod names;
