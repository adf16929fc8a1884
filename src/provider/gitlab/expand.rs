//! GitLab's variables: the one place where text is made safe for keys in which it expands `$NAME`. Scripts are none of them: nobody but
//! the shell reads those.

use anyhow::{Result, ensure};

use crate::provider::yaml::Yaml;

/// Text for a key that expands and that has no way to leave a `$` alone: images, tags, environments.
pub fn plain(text: &str, what: &str) -> Result<Yaml> {
    ensure!(!text.contains('$'), "{what} `{}` holds a `$`, which GitLab would expand", text.escape_debug());
    Ok(Yaml::text(text))
}

/// The value of a variable of a job, which arrives as it is.
pub fn variable(value: &str) -> Yaml {
    if value.contains('$') {
        Yaml::map([("value", Yaml::text(value)), ("expand", Yaml::Bool(false))])
    } else {
        Yaml::text(value)
    }
}
