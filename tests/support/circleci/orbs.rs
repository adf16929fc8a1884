//! Orbs: those that a configuration names, by reference or inline, and a stand-in for `circleci/continuation`.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use serde_yaml::{Mapping, Value};

use super::document::{entries, mapping};

/// Published orbs by their references, e.g. `org/nixdag@1`.
pub type Registry = BTreeMap<String, Value>;

/// Kinds of components.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Command,
    Executor,
    Job,
}

impl Kind {
    fn key(self) -> &'static str {
        match self {
            Self::Command => "commands",
            Self::Executor => "executors",
            Self::Job => "jobs",
        }
    }
}

/// The components that names stand for at some place: a configuration's own and those of its orbs, or an orb's.
pub struct Sources<'a> {
    top: &'a Mapping,
    orbs: BTreeMap<&'a str, Sources<'a>>,
    /// True for an orb, in which the pipeline's parameters do not exist.
    pub is_orb: bool,
}

impl<'a> Sources<'a> {
    /// The components of a configuration or of an orb.
    pub fn new(top: &'a Mapping, registry: &'a Registry, is_orb: bool) -> Result<Self> {
        let mut orbs = BTreeMap::new();
        for (name, orb) in entries(top, "orbs")? {
            let orb = match orb {
                Value::String(reference) => registry
                    .get(reference)
                    .with_context(|| format!("the stand-in has no orb `{name}` ({reference})"))?,
                Value::Mapping(_) => orb,
                _ => bail!("the orb `{name}` is neither a reference nor inline"),
            };
            let keys = ["version", "description", "display", "orbs", "commands", "jobs", "executors", "examples"];
            let orb = mapping(orb, &format!("orb `{name}`"), &keys)?;
            orbs.insert(name, Sources::new(orb, registry, true)?);
        }
        for kind in [Kind::Command, Kind::Executor, Kind::Job] {
            entries(top, kind.key())?;
        }
        Ok(Self { top, orbs, is_orb })
    }

    /// What a name stands for, and where it was found: names in there are looked for there.
    pub fn find(&self, kind: Kind, name: &str) -> Option<(&Sources<'a>, &'a Value)> {
        match name.split_once('/') {
            Some((orb, name)) => {
                let orb = self.orbs.get(orb)?;
                Some((orb, orb.own(kind, name)?))
            }
            None => Some((self, self.own(kind, name)?)),
        }
    }

    fn own(&self, kind: Kind, name: &str) -> Option<&'a Value> {
        self.top.get(kind.key())?.as_mapping()?.get(name)
    }

    /// The configuration's own jobs.
    pub fn jobs(&self) -> Result<Vec<(&'a str, &'a Value)>> {
        entries(self.top, "jobs")
    }
}

/// Orbs that are always there. `api` is where CircleCI's API is, in place of `https://circleci.com`.
pub fn official(api: &str) -> Registry {
    let continuation = CONTINUATION.replace("@API@", api);
    let continuation = serde_yaml::from_str(&continuation).expect("it is YAML");
    [("circleci/continuation@2.0.1".to_owned(), continuation)].into()
}

/// As its documentation says: it needs curl and jq, shows the whole request, key included, and wants the answer 200.
const CONTINUATION: &str = r#"
version: 2.1
description: A stand-in
commands:
  continue:
    description: Continues the pipeline
    parameters:
      configuration_path: { type: string }
      parameters: { type: string, default: "{}" }
      circleci_domain: { type: string, default: circleci.com }
      when: { type: string, default: on_success }
    steps:
      - run:
          name: Continue Pipeline
          when: << parameters.when >>
          environment:
            CONFIG_PATH: << parameters.configuration_path >>
            PARAMETERS: << parameters.parameters >>
            CIRCLECI_DOMAIN: << parameters.circleci_domain >>
          command: |
            set -e
            [ -n "$CIRCLE_CONTINUATION_KEY" ] || { echo "CIRCLE_CONTINUATION_KEY is required."; exit 1; }
            for program in curl jq; do
              command -v "$program" > /dev/null || { echo "$program is required to use this command"; exit 1; }
            done
            if [ -f "$PARAMETERS" ]; then PARAMETERS=$(cat "$PARAMETERS"); fi
            echo "$PARAMETERS" | jq . > /dev/null || { echo "PARAMETERS aren't valid json"; exit 1; }
            server=https://$CIRCLECI_DOMAIN
            if [ "$CIRCLECI_DOMAIN" = circleci.com ]; then server=@API@; fi
            mkdir -p /tmp/circleci
            jq -n --arg key "$CIRCLE_CONTINUATION_KEY" --rawfile configuration "$CONFIG_PATH" --argjson parameters "$PARAMETERS" \
              '{"continuation-key": $key, configuration: $configuration, parameters: $parameters}' > /tmp/circleci/post.json
            cat /tmp/circleci/post.json
            status=$(curl -sS -o /tmp/circleci/answer -w '%{http_code}' -X POST -H 'Content-Type: application/json' \
              -H 'Accept: application/json' --data @/tmp/circleci/post.json "$server/api/v2/pipeline/continue")
            cat /tmp/circleci/answer
            [ "$status" = 200 ]
"#;
