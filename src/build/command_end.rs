//! How the command of a final job ended. The job's CI says it, once the command is through.

use crate::choice::choice;

choice! {
    /// How a command ended.
    pub enum CommandEnd {
        /// It succeeded
        Success = "success",
        /// It failed
        Failure = "failure",
    }
}
