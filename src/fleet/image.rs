//! What images of machines are called, as far as their form tells which kind of machine they are for.

/// The form of a kind of machine's images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageForm {
    /// A reference to a registry of containers: whatever has none of the other forms.
    Container,
    /// A name that begins with one of these words. Others may exist: providers add some.
    Named {
        /// What known names begin with.
        prefixes: &'static [&'static str],
        /// Some whole names, for messages.
        examples: &'static [&'static str],
    },
    /// A version number of this program.
    Version(&'static str),
}

impl ImageForm {
    /// True for an image of this form, where `all` are the forms of all machines that there are.
    pub fn fits(self, mut all: impl Iterator<Item = Self>, image: &str) -> bool {
        match self {
            Self::Container => !image.is_empty() && !all.any(|form| form.is_clear(image)),
            Self::Named { .. } | Self::Version(_) => self.is_clear(image),
        }
    }

    /// True for an image that certainly belongs to another kind of machine.
    pub fn excludes(self, mut all: impl Iterator<Item = Self> + Clone, image: &str) -> bool {
        let may_be_new = matches!(self, Self::Named { .. });
        !self.fits(all.clone(), image) && (!may_be_new || all.any(|form| form != self && form.is_clear(image)))
    }

    /// True for an image that its name alone shows to be of this form.
    fn is_clear(self, image: &str) -> bool {
        match self {
            Self::Container => false,
            Self::Named { prefixes, .. } => prefixes.iter().any(|known| image.starts_with(known)),
            Self::Version(_) => !image.is_empty() && image.bytes().all(|b| b.is_ascii_digit() || b == b'.'),
        }
    }

    /// What an image is that does not fit, as the end of a sentence.
    pub fn lacking(self) -> String {
        match self {
            Self::Container => "not a container image".to_owned(),
            Self::Named { examples, .. } => {
                let examples: Vec<String> = examples.iter().map(|example| format!("`{example}`")).collect();
                format!("not a VM image that nixdag knows ({})", examples.join(", "))
            }
            Self::Version(program) => format!("not a version of {program}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_of_an_image_tells_its_machine() {
        let vm = ImageForm::Named { prefixes: &["ubuntu-2404:"], examples: &["ubuntu-2404:current"] };
        let forms = [ImageForm::Container, vm, ImageForm::Version("Xcode")];
        let of = |image| forms.map(|form| form.fits(forms.into_iter(), image));
        assert_eq!(of("nixos/nix:2.34.7"), [true, false, false]);
        assert_eq!(of("ubuntu-2404:current"), [false, true, false]);
        assert_eq!(of("26.6.0"), [false, false, true]);
        assert_eq!(of(""), [false, false, false]);
        let excluded = |image| forms.map(|form| form.excludes(forms.into_iter(), image));
        assert_eq!(excluded("nixos/nix"), [false, false, true], "a VM's image may be one that is new");
        assert_eq!(excluded("26.6.0"), [true, true, false]);
        assert_eq!(excluded("ubuntu-2404:x"), [true, false, true]);
    }
}
