//! `--color`.

use crate::choice::choice;

choice! {
    /// When there is colour.
    pub enum Color {
        /// On a terminal, unless the variable NO_COLOR is set
        Auto = "auto",
        /// Always
        Always = "always",
        /// Never
        Never = "never",
    }
}
