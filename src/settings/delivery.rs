//! How a configuration's jobs deliver, from the flags and `nixdag.yml`; the rules of what goes together are [`HandOff::resolve`]'s.

use anyhow::{Context, Result, bail};

use super::file::SettingsFile;
use crate::cli::{GenerateArgs, PushArgs, SigningArgs};
use crate::delivery::destination::Destination;
use crate::delivery::{Delivery, HandOff, HandOffChoice, Push, Reuse, Signing};
use crate::nix::signature::{PublicKeys, SecretKey};
use crate::secret::{Secret, VariableName};

/// What the file says about the hand-off.
pub(super) fn handoff_of(file: &SettingsFile) -> HandOffChoice<'_> {
    HandOffChoice { kind: file.handoff, cache: file.cache.as_deref() }
}

/// Resolves flags and file. `take_secret` takes the secret key out of its variable, where there is one: its public half counts where
/// no other key is named.
pub(super) fn resolve(
    flags: &GenerateArgs,
    file: &SettingsFile,
    take_secret: impl FnOnce(&VariableName) -> Option<Secret>,
) -> Result<Delivery> {
    let said = HandOffChoice { kind: flags.planning.handoff, cache: flags.cache.as_deref() };
    let handoff = HandOff::resolve(said, handoff_of(file))?;
    let reuse = flags.reuse.or(file.reuse).unwrap_or_default();
    let push = push(&flags.push, file)?;
    let mut signing = signing(&flags.signing, file)?;
    let secret = take_secret(&signing.variable);
    if let Some(secret) = secret.filter(|_| signing.public_keys.is_empty()) {
        let key = SecretKey::parse(secret.reveal()).with_context(|| format!("`{}`", signing.variable))?;
        signing.public_keys = [key.public()].into_iter().collect();
    }
    if signing.public_keys.is_empty() && reuse == Reuse::Signed && handoff == HandOff::Workspace {
        bail!(
            "`reuse: signed` needs a public key: make a key with `nix key generate-secret --key-name NAME > secret`, put the content of \
             that file into the variable `{}` of a CircleCI context, and what `nix key convert-secret-to-public < secret` prints \
             under `signing_public_keys` in nixdag.yml (or `--signing-public-key`)",
            signing.variable
        );
    }
    Ok(Delivery { handoff, reuse, signing, push })
}

/// Where jobs push; a list given by flags replaces that of the file.
pub fn push(flags: &PushArgs, file: &SettingsFile) -> Result<Push> {
    let destinations = match flags.push.as_slice() {
        [] => file.push.iter().flat_map(|list| &list.0).map(|entry| entry.0.clone()).collect(),
        given => given.iter().map(|text| Destination::parse(text)).collect::<Result<_>>().context("`--push`")?,
    };
    let credentials = match flags.push_credential.as_slice() {
        [] => file.push_credentials.iter().flat_map(|list| &list.0).map(|name| name.0.clone()).collect(),
        given => {
            let named = given.iter().map(|name| VariableName::parse(name));
            named.collect::<Result<_>>().context("`--push-credential`")?
        }
    };
    Ok(Push { destinations, credentials, on_failure: flags.push_failure.or(file.push_failure).unwrap_or_default() })
}

/// Whose signatures count, and the name of the variable with the secret key.
pub fn signing(flags: &SigningArgs, file: &SettingsFile) -> Result<Signing> {
    let by_flag = flags.signing_key_variable.as_deref().map(VariableName::parse).transpose();
    let named = by_flag.context("`--signing-key-variable`")?;
    let named = named.or_else(|| file.signing_key_variable.as_ref().map(|name| name.0.clone()));
    let public_keys = match flags.signing_public_key.as_slice() {
        [] => file.signing_public_keys.iter().flat_map(|list| &list.0).map(|key| key.0.clone()).collect(),
        given => PublicKeys::parse(given.iter().map(String::as_str)).context("`--signing-public-key`")?,
    };
    Ok(Signing { public_keys, is_named: named.is_some(), variable: named.unwrap_or_else(VariableName::signing_key) })
}
