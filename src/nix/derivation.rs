//! Reader of `.drv` files: Nix's ATerm form of a derivation, without copying.
//!
//! In: the bytes of one file. Out: a [`Derivation`] whose strings are slices of them, escapes left in place until somebody asks.
//! Knows `Derive(…)` and the `DrvWithVersion("xp-dyn-drv",…)` form of dynamic derivations; every Nix writes the same bytes.
//! Hostile input gives an error with the byte it stands at; memory is bounded by the file's size.

use serde::Deserialize;

use super::aterm::{ParseError, Reader, Text};

/// One output of a derivation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Output<'a> {
    /// `out`, `dev`, …
    pub name: Text<'a>,
    /// Store path; empty where it is known only after the build.
    pub path: Text<'a>,
    /// Hash algorithm with its method (`r:sha256`); empty for an input-addressed output.
    pub hash_algorithm: Text<'a>,
    /// Hash in base 16 for a fixed output, `impure`, else empty.
    pub hash: Text<'a>,
}

/// One derivation that another one takes outputs from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputDerivation<'a> {
    /// Path of its `.drv` file.
    pub path: Text<'a>,
    /// The outputs taken, as a range of [`Derivation::input_outputs`].
    outputs: std::ops::Range<usize>,
}

/// One derivation, as its file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Derivation<'a> {
    /// Its outputs, in the file's order.
    pub outputs: Vec<Output<'a>>,
    /// The derivations it takes outputs from.
    pub inputs: Vec<InputDerivation<'a>>,
    /// Output names of all inputs, see [`Derivation::outputs_of`].
    input_outputs: Vec<Text<'a>>,
    /// Store paths that are no outputs of an input.
    pub sources: Vec<Text<'a>>,
    /// The system it is built on.
    pub system: Text<'a>,
    /// The program that builds it.
    pub builder: Text<'a>,
    /// The program's arguments.
    pub arguments: Vec<Text<'a>>,
    /// Its environment.
    pub environment: Vec<(Text<'a>, Text<'a>)>,
    /// True where an input is an output of a derivation that is itself built.
    pub dynamic: bool,
}

impl<'a> Derivation<'a> {
    /// Reads the bytes of one `.drv` file.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ParseError> {
        let mut reader = Reader::new(bytes);
        let versioned = reader.skip(b"DrvWithVersion(");
        if versioned {
            let version = reader.string()?;
            if !version.is(b"xp-dyn-drv") {
                return Err(reader.error("version `xp-dyn-drv`"));
            }
            reader.expect(b",", "`,`")?;
        } else {
            reader.expect(b"Derive(", "`Derive(`")?;
        }
        let mut drv = Derivation::default();
        reader.list(|r| {
            r.expect(b"(", "`(`")?;
            let name = r.string()?;
            r.expect(b",", "`,`")?;
            let path = r.string()?;
            r.expect(b",", "`,`")?;
            let hash_algorithm = r.string()?;
            r.expect(b",", "`,`")?;
            let hash = r.string()?;
            drv.outputs.push(Output { name, path, hash_algorithm, hash });
            r.expect(b")", "`)`")
        })?;
        reader.expect(b",", "`,`")?;
        reader.list(|r| {
            r.expect(b"(", "`(`")?;
            let path = r.string()?;
            r.expect(b",", "`,`")?;
            let start = drv.input_outputs.len();
            if r.skip(b"(") {
                r.list(|r| r.string().map(|name| drv.input_outputs.push(name)))?;
                r.expect(b",", "`,`")?;
                drv.dynamic |= dynamic_outputs(r, &mut drv.input_outputs, 0)?;
                r.expect(b")", "`)`")?;
            } else {
                r.list(|r| r.string().map(|name| drv.input_outputs.push(name)))?;
            }
            drv.inputs.push(InputDerivation { path, outputs: start..drv.input_outputs.len() });
            r.expect(b")", "`)`")
        })?;
        reader.expect(b",", "`,`")?;
        reader.list(|r| r.string().map(|path| drv.sources.push(path)))?;
        reader.expect(b",", "`,`")?;
        drv.system = reader.string()?;
        reader.expect(b",", "`,`")?;
        drv.builder = reader.string()?;
        reader.expect(b",", "`,`")?;
        reader.list(|r| r.string().map(|argument| drv.arguments.push(argument)))?;
        reader.expect(b",", "`,`")?;
        reader.list(|r| {
            r.expect(b"(", "`(`")?;
            let key = r.string()?;
            r.expect(b",", "`,`")?;
            drv.environment.push((key, r.string()?));
            r.expect(b")", "`)`")
        })?;
        reader.expect(b")", "`)`")?;
        reader.end()?;
        Ok(drv)
    }

    /// The outputs that this derivation takes from one of its inputs.
    pub fn outputs_of(&self, input: &InputDerivation<'a>) -> &[Text<'a>] {
        &self.input_outputs[input.outputs.clone()]
    }

    /// True for a fetch: every output's content is known beforehand.
    pub fn is_fixed_output(&self) -> bool {
        !self.outputs.is_empty()
            && self.outputs.iter().all(|output| !output.hash.is_empty() && !output.hash.is(b"impure"))
    }

    /// True for a derivation that is built anew whenever it is needed.
    pub fn is_impure(&self) -> bool {
        self.outputs.iter().any(|output| output.hash.is(b"impure"))
    }

    /// What the derivation says about where and how it wants to be built, from its environment or its structured attributes.
    pub fn attributes(&self) -> Attributes {
        let mut found = Attributes::default();
        for (key, value) in &self.environment {
            match key.raw() {
                b"preferLocalBuild" => found.prefer_local_build = value.is(b"1"),
                b"allowSubstitutes" => found.allow_substitutes = value.is(b"1"),
                b"requiredSystemFeatures" => {
                    let text = value.bytes();
                    found.required_system_features =
                        String::from_utf8_lossy(&text).split_ascii_whitespace().map(Into::into).collect();
                }
                b"__json" => {
                    // A malformed value is Nix's to complain about; planning goes on with what can be read.
                    if let Ok(structured) = serde_json::from_slice::<StructuredAttributes>(&value.bytes()) {
                        return structured.into();
                    }
                }
                _ => {}
            }
        }
        found
    }
}

/// What a derivation says about where and how it wants to be built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attributes {
    /// Building it here costs less than asking elsewhere.
    pub prefer_local_build: bool,
    /// False: Nix builds it even where a cache has it.
    pub allow_substitutes: bool,
    /// What the machine must offer: `kvm`, `big-parallel`, …
    pub required_system_features: Vec<String>,
}

impl Default for Attributes {
    fn default() -> Self {
        Self { prefer_local_build: false, allow_substitutes: true, required_system_features: Vec::new() }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct StructuredAttributes {
    #[serde(default)]
    prefer_local_build: Option<bool>,
    #[serde(default)]
    allow_substitutes: Option<bool>,
    #[serde(default)]
    required_system_features: Option<Vec<String>>,
}

impl From<StructuredAttributes> for Attributes {
    fn from(attributes: StructuredAttributes) -> Self {
        Self {
            prefer_local_build: attributes.prefer_local_build.unwrap_or(false),
            allow_substitutes: attributes.allow_substitutes.unwrap_or(true),
            required_system_features: attributes.required_system_features.unwrap_or_default(),
        }
    }
}

/// Deepest nesting of dynamic outputs that is read; Nix itself has no use for more than a few.
const MAX_DYNAMIC_DEPTH: usize = 16;

/// Reads `[("out",["out"]),("x",(["y"],[…])),…]`: the outputs, themselves derivations, whose outputs are taken.
/// Only the first level names outputs of the input. True where there is any.
fn dynamic_outputs<'a>(reader: &mut Reader<'a>, names: &mut Vec<Text<'a>>, depth: usize) -> Result<bool, ParseError> {
    if depth == MAX_DYNAMIC_DEPTH {
        return Err(reader.error("fewer levels of dynamic outputs"));
    }
    let mut any = false;
    reader.list(|r| {
        any = true;
        r.expect(b"(", "`(`")?;
        let name = r.string()?;
        if depth == 0 {
            names.push(name);
        }
        r.expect(b",", "`,`")?;
        if r.skip(b"(") {
            r.list(|r| r.string().map(drop))?;
            r.expect(b",", "`,`")?;
            dynamic_outputs(r, names, depth + 1)?;
            r.expect(b")", "`)`")?;
        } else {
            r.list(|r| r.string().map(drop))?;
        }
        r.expect(b")", "`)`")
    })?;
    Ok(any)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MULTI: &[u8] = br#"Derive([("dev","/nix/store/a-dev","",""),("out","/nix/store/a","","")],[("/nix/store/b.drv",["bin","out"])],["/nix/store/src"],"x86_64-linux","/bin/sh",["-c","echo \"hi\\\" > $out\n"],[("requiredSystemFeatures"," kvm  big-parallel"),("preferLocalBuild","1"),("allowSubstitutes","")])"#;

    fn names(texts: &[Text]) -> Vec<String> {
        texts.iter().map(|text| String::from_utf8(text.bytes().into_owned()).unwrap()).collect()
    }

    #[test]
    fn every_part_is_read() {
        let drv = Derivation::parse(MULTI).unwrap();
        assert_eq!(names(&drv.outputs.iter().map(|output| output.name).collect::<Vec<_>>()), ["dev", "out"]);
        assert_eq!(names(drv.outputs_of(&drv.inputs[0])), ["bin", "out"]);
        assert_eq!(names(&drv.sources), ["/nix/store/src"]);
        assert_eq!(names(&drv.arguments), ["-c", "echo \"hi\\\" > $out\n"]);
        let attributes = drv.attributes();
        assert_eq!(attributes.required_system_features, ["kvm", "big-parallel"]);
        assert!(
            attributes.prefer_local_build && !attributes.allow_substitutes && !drv.is_fixed_output() && !drv.dynamic
        );
    }

    #[test]
    fn structured_attributes_are_read_from_json() {
        let bytes = br#"Derive([],[],[],"x","b",[],[("__json","{\"preferLocalBuild\":true,\"allowSubstitutes\":false,\"requiredSystemFeatures\":[\"kvm\"]}")])"#;
        let attributes = Derivation::parse(bytes).unwrap().attributes();
        assert!(attributes.prefer_local_build && !attributes.allow_substitutes);
        assert_eq!(attributes.required_system_features, ["kvm"]);
    }

    #[test]
    fn dynamic_inputs_want_the_output_that_is_a_derivation() {
        let bytes = br#"DrvWithVersion("xp-dyn-drv",[("out","","","")],[("/nix/store/p.drv.drv",([],[("out",(["a"],[("b",["c"])]))]))],[],"x","b",[],[])"#;
        let drv = Derivation::parse(bytes).unwrap();
        assert!(drv.dynamic);
        assert_eq!(names(drv.outputs_of(&drv.inputs[0])), ["out"]);
    }

    #[test]
    fn each_truncation_is_an_error_at_the_end_and_junk_after_it_is_one_too() {
        for end in 0..MULTI.len() {
            let error = Derivation::parse(&MULTI[..end]).unwrap_err();
            assert!(error.byte <= end, "{error}");
        }
        let mut longer = MULTI.to_vec();
        longer.push(b'\n');
        assert_eq!(
            Derivation::parse(&longer).unwrap_err().to_string(),
            format!("byte {}: expected the end of the file", MULTI.len())
        );
    }

    #[test]
    fn deep_nesting_is_refused() {
        let mut bytes = br#"DrvWithVersion("xp-dyn-drv",[],[("p",([],"#.to_vec();
        for _ in 0..100_000 {
            bytes.extend_from_slice(br#"[("out",([],"#);
        }
        assert_eq!(Derivation::parse(&bytes).unwrap_err().expected, "fewer levels of dynamic outputs");
    }

    proptest! {
        #[test]
        fn any_string_survives_nixs_escaping(text in proptest::collection::vec(any::<u8>(), 0..64)) {
            let mut file = br#"Derive([],[],[],""#.to_vec();
            for &byte in &text {
                match byte {
                    b'"' | b'\\' => file.extend([b'\\', byte]),
                    b'\n' => file.extend(b"\\n"),
                    b'\r' => file.extend(b"\\r"),
                    b'\t' => file.extend(b"\\t"),
                    other => file.push(other),
                }
            }
            file.extend_from_slice(br#"","b",[],[])"#);
            let drv = Derivation::parse(&file).unwrap();
            prop_assert_eq!(drv.system.bytes().into_owned(), text.clone());
            prop_assert!(drv.system.is(&text));
        }

        #[test]
        fn a_changed_byte_never_panics(at in 0..MULTI.len(), byte: u8) {
            let mut bytes = MULTI.to_vec();
            bytes[at] = byte;
            if let Ok(drv) = Derivation::parse(&bytes) {
                drv.attributes();
            }
        }
    }
}
