//! How the command of a final job ended. In: what the job's CI says once the command is through. Out: a word for records and reports.

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
