//! How a configuration's jobs deliver, from the flags and `nixdag.yml`; the rules of what goes together are [`HandOff::resolve`]'s.

use anyhow::{Context, Result, bail};

use super::option::options;
use super::push::DestinationEntry;
use super::values::Number;
use super::words::{ContextName, One, Word, Words};
use super::yaml::{List, OneOrMore};
use crate::choice::Choice;
use crate::delivery::destination::Destination;
use crate::delivery::{
    BuildLogs, Delivery, HandOff, HandOffChoice, HandOffKind, OnPushFailure, PUSH_TIMEOUT, Push, Reuse, Sign, Signing,
};
use crate::nearest::listed;
use crate::nix::signature::{PublicKey, PublicKeys, SecretKey};
use crate::provider::Provider;
use crate::secret::{Secret, VariableName};
use crate::usage::usage;
use crate::whole_number::whole;

options! {
    /// How results reach the jobs that need them
    "Hand-off": HandOffFlags, HandOffKeys, HandOffOptions {
        /// How results reach the jobs that need them
        handoff {
            flag Option<HandOffKind> [value_enum];
            key "handoff": HandOffKind;
            unset: "cache where a `cache` is named, else workspace (GitHub: artifacts; GitLab: artifacts or packages)";
            orb Choice "handoff";
        }
    }
}

options! {
    /// Where results are kept between jobs and between pipelines
    "Stores": StoreFlags, StoreKeys, StoreOptions {
        /// The store for `handoff: cache`, e.g. `s3://bucket`; planning queries it for what exists, too
        cache {
            flag Option<String> [value_name = "URL"];
            key "cache": String;
            orb Text "cache";
        }
        /// What a pipeline takes from earlier ones through the CI's own cache
        reuse {
            flag Option<Reuse> [value_enum];
            key "reuse": Reuse;
            unset: "branch, beside secrets signed or off";
            orb Choice "reuse";
        }
        /// Which jobs sign and push: `separate` keeps the key and the credentials of stores from all jobs that build
        sign {
            flag Option<Sign> [value_enum];
            key "sign": Sign;
            default Sign = Sign::default();
            orb Choice "sign";
        }
        /// A context with the signing key or the credentials of stores: the jobs that sign and push get it, the setup job needs none of them
        delivery_context {
            flag Vec<String> [value_name = "NAME"];
            key "delivery_contexts": Words<ContextName>;
            orb List "delivery_contexts";
        }
    }
}

options! {
    /// The keys that this CI signs with
    "Signing": SigningFlags, SigningKeys, SigningOptions {
        /// Name of the environment variable that holds the secret key in jobs that may sign
        signing_key_variable {
            flag Option<String> [value_name = "NAME"];
            key "signing_key_variable": One<VariableName>;
            unset: "NIXDAG_SIGNING_KEY";
            orb Variable "signing_key_variable";
        }
        /// Public half of a key whose signatures count, `name:base64`
        signing_public_key {
            flag Vec<String> [value_name = "KEY"];
            key "signing_public_keys": List<One<PublicKey>>;
            unset: "the public half of the secret key, where planning has it";
            orb List "signing_public_keys";
        }
    }
}

options! {
    /// Where jobs push what they have built, for later pipelines and for people
    "Push": PushFlags, PushKeys, PushOptions {
        /// Push what is built to a store's URL, to `cachix:NAME`, or to `attic:SERVER:CACHE`
        push {
            flag Vec<String> [value_name = "URL"];
            key "push": OneOrMore<DestinationEntry>;
            orb List "push";
        }
        /// Name of an environment variable that pushing requires and that only the pushing programs see
        push_credential {
            flag Vec<String> [value_name = "NAME"];
            key "push_credentials": List<One<VariableName>>;
            orb List "push_credentials";
        }
        /// What to do if pushing keeps failing
        push_failure {
            flag Option<OnPushFailure> [value_enum];
            key "push_failure": OnPushFailure;
            default OnPushFailure = OnPushFailure::default();
            orb Choice "push_failure";
        }
        /// Time limit of one call of a pushing program, in seconds; five minutes without output also end it
        push_timeout {
            flag Option<u32> [value_name = "SECONDS", value_parser = whole::<u32>(1, 86400)];
            key "push_timeout": Number<1, 86400>;
            default u32 = PUSH_TIMEOUT;
            no orb: "nixdag.yml has it";
        }
    }
}

options! {
    /// What jobs print
    "Logs": LogFlags, LogKeys, LogOptions {
        /// How much of builders' logs jobs print; the full logs are always among the results
        build_logs {
            flag Option<BuildLogs> [value_enum];
            key "build_logs": BuildLogs;
            default BuildLogs = BuildLogs::default();
            no orb: "nixdag.yml has it";
        }
    }
}

options! {
    /// What builders find in their environment
    "Builders": BuilderFlags, BuilderKeys, BuilderOptions {
        /// Pass this variable of a job's environment to builders that ask for it; they otherwise see only those that Nix needs
        build_env {
            flag Vec<String> [value_name = "NAME"];
            no key: "may be a secret, and whoever changes nixdag.yml could name any variable";
            orb List "build_env";
        }
    }
}

/// What the file says about the hand-off.
pub(super) fn handoff_of<'a>(handoff: &HandOffKeys, stores: &'a StoreKeys) -> HandOffChoice<'a> {
    HandOffChoice { kind: handoff.handoff, cache: stores.cache.as_deref() }
}

/// Flags for how the jobs of a configuration deliver.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct DeliveryFlags {
    #[command(flatten)]
    pub stores: StoreFlags,
    #[command(flatten)]
    pub signing: SigningFlags,
    #[command(flatten)]
    pub push: PushFlags,
    #[command(flatten)]
    pub logs: LogFlags,
    #[command(flatten)]
    pub builders: BuilderFlags,
}

/// What the file says about how the jobs of a configuration deliver.
pub struct DeliverySaid<'a> {
    /// To the jobs that need it.
    pub handoff: &'a HandOffKeys,
    /// Where that is kept.
    pub stores: &'a StoreKeys,
    /// Whose signatures count.
    pub signing: &'a SigningKeys,
    /// To other stores.
    pub push: &'a PushKeys,
    /// What they print.
    pub logs: &'a LogKeys,
    /// What messages call the key `handoff`.
    pub handoff_name: &'a str,
}

/// Resolves flags and file. `take_secret` takes the secret key out of its variable, where there is one: its public half counts where
/// no other key is named.
pub(super) fn resolve(
    handoff: &HandOffFlags,
    flags: &DeliveryFlags,
    file: &DeliverySaid,
    provider: Provider,
    take_secret: impl FnOnce(&VariableName) -> Option<Secret>,
) -> Result<Delivery> {
    let said = HandOffChoice { kind: handoff.handoff, cache: flags.stores.cache.as_deref() };
    let handoff = HandOff::resolve(said, handoff_of(file.handoff, file.stores), provider.handoff())?;
    check_handoff(provider, handoff.kind(), said.kind.is_none().then_some(file.handoff_name))?;
    let reuse = flags.stores.reuse.or(file.stores.reuse);
    let contexts = contexts(&flags.stores, file.stores)?;
    let push = push(&flags.push, file.push)?;
    let mut signing = signing(&flags.signing, file.signing)?;
    let secret = take_secret(&signing.variable);
    if let Some(secret) = secret.filter(|_| signing.public_keys.is_empty()) {
        let key = SecretKey::parse(secret.reveal()).with_context(|| format!("`{}`", signing.variable))?;
        signing.public_keys = [key.public()].into_iter().collect();
    }
    if signing.public_keys.is_empty() && reuse == Some(Reuse::Signed) && handoff.kind() != HandOffKind::Cache {
        bail!(
            "`reuse: signed` needs a public key: make a key with `nix key generate-secret --key-name NAME > secret`, put the content of \
             that file into the variable `{}` of the jobs (a context of CircleCI, a protected variable of GitLab), and what `nix key convert-secret-to-public < secret` prints \
             under `signing_public_keys` in nixdag.yml (or `--signing-public-key`)",
            signing.variable
        );
    }
    let build_logs = LogOptions::new(&flags.logs, file.logs).build_logs;
    let delivery = Delivery {
        handoff,
        reuse,
        signing,
        push,
        sign: StoreOptions::new(&flags.stores, file.stores).sign,
        contexts,
        build_logs,
        build_variables: build_variables(&flags.builders)?,
    };
    delivery.check()?;
    Ok(delivery)
}

/// Refuses what the provider does not have; `key` is what messages call the key, where that says it.
pub(super) fn check_handoff(provider: Provider, kind: HandOffKind, key: Option<&str>) -> Result<()> {
    let known: Vec<&str> = provider.handoffs().iter().map(|kind| kind.name()).collect();
    if !known.contains(&kind.name()) {
        bail!(usage(format!(
            "{}on {}, jobs cannot hand off through `{}` (known: {})",
            key.map(|key| format!("{key}: ")).unwrap_or_default(),
            provider.title(),
            kind.name(),
            listed(&known)
        )));
    }
    Ok(())
}

/// The contexts with what jobs sign and push with; a list given by flags replaces that of the file.
fn contexts(flags: &StoreFlags, keys: &StoreKeys) -> Result<Vec<String>> {
    match flags.delivery_context.as_slice() {
        [] => Ok(keys.delivery_context.iter().flat_map(|names| &names.0).map(|name| name.0.clone()).collect()),
        given => {
            let names = given.iter().map(|name| Ok(ContextName::read(name)?.0));
            names.collect::<Result<_>>().context(usage("`--delivery-context`"))
        }
    }
}

/// The variables that builders may have.
pub fn build_variables(flags: &BuilderFlags) -> Result<Vec<VariableName>> {
    let names = flags.build_env.iter().map(|name| VariableName::parse(name));
    names.collect::<Result<_>>().context(usage("`--build-env`"))
}

/// Where jobs push; a list given by flags replaces that of the file.
pub fn push(flags: &PushFlags, keys: &PushKeys) -> Result<Push> {
    let destinations = match flags.push.as_slice() {
        [] => keys.push.iter().flat_map(|list| &list.0).map(|entry| entry.0.clone()).collect(),
        given => given.iter().map(|text| Destination::parse(text)).collect::<Result<_>>().context(usage("`--push`"))?,
    };
    let credentials = match flags.push_credential.as_slice() {
        [] => keys.push_credential.iter().flat_map(|list| &list.0).map(|name| name.0.clone()).collect(),
        given => {
            let named = given.iter().map(|name| VariableName::parse(name));
            named.collect::<Result<_>>().context(usage("`--push-credential`"))?
        }
    };
    let options = PushOptions::new(flags, keys);
    Ok(Push { destinations, credentials, on_failure: options.push_failure, timeout: options.push_timeout })
}

/// Whose signatures count, and the name of the variable with the secret key.
pub fn signing(flags: &SigningFlags, keys: &SigningKeys) -> Result<Signing> {
    let by_flag = flags.signing_key_variable.as_deref().map(VariableName::parse).transpose();
    let named = by_flag.context(usage("`--signing-key-variable`"))?;
    let named = named.or_else(|| keys.signing_key_variable.as_ref().map(|name| name.0.clone()));
    let public_keys = match flags.signing_public_key.as_slice() {
        [] => keys.public_keys(),
        given => PublicKeys::parse(given.iter().map(String::as_str)).context(usage("`--signing-public-key`"))?,
    };
    Ok(Signing { public_keys, is_named: named.is_some(), variable: named.unwrap_or_else(VariableName::signing_key) })
}

impl SigningKeys {
    /// The public keys of the file.
    pub fn public_keys(&self) -> PublicKeys {
        self.signing_public_key.iter().flat_map(|list| &list.0).map(|key| key.0.clone()).collect()
    }
}
