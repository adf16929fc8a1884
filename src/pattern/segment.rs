//! What one name of a path has to look like: itself, or a glob; or `**`, for any number of names. In: a name. Out: whether it is meant.

/// What one name of an attribute path has to look like.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Segment {
    /// Exactly this name.
    Literal(String),
    /// A name that the glob matches.
    Glob(Glob),
    /// `**`: any number of names, none included.
    Levels,
}

/// A glob over the characters of one name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Glob(pub(super) Vec<Token>);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Token {
    /// Ends a segment.
    Dot,
    /// Nothing, but its segment may be empty: there were quotes.
    Quotes,
    Char(char),
    /// `?`
    Any,
    /// `*`
    Star,
    /// `**`, alone in its segment.
    Levels,
    /// `[a-z]`, `[!a-z]`: inclusive ranges.
    Class {
        negated: bool,
        ranges: Vec<(char, char)>,
    },
}

impl Segment {
    /// True if the name is meant, alone or among others.
    pub fn matches(&self, name: &str) -> bool {
        match self {
            Self::Literal(literal) => literal == name,
            Self::Glob(glob) => glob.matches(name),
            Self::Levels => true,
        }
    }

    /// True for `*`.
    pub fn is_any(&self) -> bool {
        matches!(self, Self::Glob(glob) if glob.0.iter().all(|token| *token == Token::Star))
    }

    /// True if every name that `other` means is meant. `false` may also mean that this is hard to tell: two globs are not compared.
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Levels, _) => true,
            (Self::Glob(_), Self::Levels) => false,
            (Self::Glob(_), _) if self.is_any() => true,
            (_, Self::Literal(name)) => self.matches(name),
            (own, other) => own == other,
        }
    }
}

impl Glob {
    /// Time: at most the product of both lengths, as only the last star is ever tried again.
    fn matches(&self, name: &str) -> bool {
        let tokens = &self.0;
        let mut rest = name.chars();
        let mut token = 0;
        let mut last_star = None;
        loop {
            if let Some(Token::Star) = tokens.get(token) {
                token += 1;
                last_star = Some((token, rest.clone()));
                continue;
            }
            let before = rest.clone();
            match (tokens.get(token), rest.next()) {
                (None, None) => return true,
                (Some(expected), Some(c)) if expected.accepts(c) => token += 1,
                _ => {
                    // The last star takes one character more.
                    let Some((after_star, resume)) = &mut last_star else { return false };
                    if before.as_str().is_empty() || resume.next().is_none() {
                        return false;
                    }
                    token = *after_star;
                    rest = resume.clone();
                }
            }
        }
    }
}

impl Token {
    fn accepts(&self, c: char) -> bool {
        match self {
            Self::Char(expected) => *expected == c,
            Self::Any => true,
            Self::Class { negated, ranges } => ranges.iter().any(|(from, to)| (*from..=*to).contains(&c)) != *negated,
            Self::Star | Self::Levels | Self::Dot | Self::Quotes => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The definition of a glob, exponential and plainly right.
    fn naive(tokens: &[Token], name: &[char]) -> bool {
        match tokens.split_first() {
            None => name.is_empty(),
            Some((Token::Star, below)) => (0..=name.len()).any(|taken| naive(below, &name[taken..])),
            Some((token, below)) => name.split_first().is_some_and(|(c, rest)| token.accepts(*c) && naive(below, rest)),
        }
    }

    fn token() -> impl Strategy<Value = Token> {
        prop_oneof![
            Just(Token::Star),
            Just(Token::Any),
            prop::char::range('a', 'c').prop_map(Token::Char),
            (any::<bool>(), prop::char::range('a', 'c'))
                .prop_map(|(negated, c)| Token::Class { negated, ranges: vec![(c, 'c')] }),
        ]
    }

    proptest! {
        #[test]
        fn the_matcher_agrees_with_the_definition(tokens in prop::collection::vec(token(), 0..8), name in "[a-dü]{0,9}") {
            let chars: Vec<char> = name.chars().collect();
            prop_assert_eq!(Glob(tokens.clone()).matches(&name), naive(&tokens, &chars));
        }
    }
}
