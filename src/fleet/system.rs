//! Nix's systems, e.g. `x86_64-linux`, as far as choosing a machine depends on them.

/// What Nix calls the system of a derivation that it builds itself, on any machine.
pub const BUILTIN: &str = "builtin";

/// The systems whose programs a machine of this system runs by itself, its own first.
pub fn native(own: &str) -> Vec<&str> {
    match own {
        "x86_64-linux" => vec![own, "i686-linux"],
        _ => vec![own],
    }
}
