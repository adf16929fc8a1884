//! nixdag's component in a repository's `.gitlab-ci.yml`. In: the file. Out: the inputs that it is given, once for each time that it is included,
//! by the names of the orb's parameters.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use serde_yaml::Value;

use crate::provider::parameters::{documents, given};

/// The component's name, last in its address.
const NAME: &str = "nixdag";

/// What the component and the orb call differently: the image of the planning job, and that of the jobs which build.
const OWN_IMAGE: &str = "image";
const BUILD_IMAGE: &str = "build_image";

/// Reads the file; nothing where there is none.
pub fn read(path: &Path) -> Result<Vec<BTreeMap<String, String>>> {
    Ok(documents(path)?.iter().flat_map(included).collect())
}

fn included(document: &Value) -> Vec<BTreeMap<String, String>> {
    let all = match document.get("include") {
        Some(Value::Sequence(items)) => items.iter().collect(),
        Some(one) => vec![one],
        None => Vec::new(),
    };
    all.into_iter().filter(|include| is_ours(include)).map(|include| inputs(include.get("inputs"))).collect()
}

/// True for an entry of `include` that names the component.
pub fn is_ours(include: &Value) -> bool {
    let address = include.get("component").and_then(Value::as_str).unwrap_or_default();
    address.split('@').next().is_some_and(|path| path.rsplit('/').next() == Some(NAME))
}

fn inputs(value: Option<&Value>) -> BTreeMap<String, String> {
    let mut found = given(value);
    found.remove(OWN_IMAGE);
    let image = found.remove(BUILD_IMAGE);
    found.extend(image.map(|image| (OWN_IMAGE.to_owned(), image)));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_of_the_component_are_found_beside_what_else_a_file_holds() {
        let text = "stages: [build]\ninclude:\n  - local: other.yml\n  - component: $CI_SERVER_FQDN/acme/nixdag/nixdag@1\n    \
                    inputs: {allow_ifd: true, image: a, build_image: b, max_jobs: 3}\n  - component: x/nixdag/other@1\njob:\n  script: !reference [.a, script]\n";
        let document: Value = serde_yaml::from_str(text).unwrap();
        let found = included(&document);
        let first: Vec<_> = found[0].iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!((first, found.len()), (["allow_ifd=true", "image=b", "max_jobs=3"].map(str::to_owned).to_vec(), 1));
        let one: Value = serde_yaml::from_str("include: {component: h/nixdag@1}\n").unwrap();
        assert_eq!(included(&one), [BTreeMap::new()]);
    }
}
