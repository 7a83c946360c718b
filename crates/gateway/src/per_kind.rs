//! Values that kinds of room may have of their own.
//!
//! Owns which value counts for a kind, and how an operator writes them: `1000,issue=200,user=50`. Refuses to know which kinds
//! exist, which only the whole configuration tells.

use std::collections::BTreeMap;

/// One value for all rooms, and others for rooms of some kinds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PerKind<T> {
    /// For rooms of the kinds that are not named.
    pub others: T,
    /// For rooms of these kinds.
    pub kinds: BTreeMap<String, T>,
}

impl<T> PerKind<T> {
    /// What counts for rooms of the kind.
    #[must_use]
    pub fn of(&self, kind: &str) -> &T {
        self.kinds.get(kind).unwrap_or(&self.others)
    }

    /// The same, to change it.
    pub(crate) fn of_mut(&mut self, kind: &str) -> &mut T {
        self.kinds.get_mut(kind).unwrap_or(&mut self.others)
    }

    /// Every value.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        std::iter::once(&self.others).chain(self.kinds.values())
    }

    /// Makes another value of each.
    pub(crate) fn map<U>(&self, mut make: impl FnMut(&T) -> U) -> PerKind<U> {
        let kinds = self.kinds.iter().map(|(kind, value)| (kind.clone(), make(value))).collect();
        PerKind { others: make(&self.others), kinds }
    }

    /// Reads a value and those of kinds, in any order; without the value `others` is meant.
    ///
    /// # Errors
    /// What is expected, in the words of `read` where it is a value that cannot be read.
    pub(crate) fn parse(text: &str, others: T, read: impl Fn(&str) -> Result<T, String>) -> Result<Self, String> {
        let mut found = None;
        let mut kinds = BTreeMap::new();
        for item in text.split(',').map(str::trim) {
            let (kind, value) = item.split_once('=').map_or(("", item), |(kind, value)| (kind.trim(), value.trim()));
            let value =
                read(value).map_err(|expected| format!("{expected}, and others for kinds of room as kind=value"))?;
            let is_known = match kind {
                "" if item.contains('=') => return Err("a kind of room before the =".into()),
                "" => found.replace(value).is_some(),
                kind => kinds.insert(kind.to_owned(), value).is_some(),
            };
            if is_known {
                return Err(match kind {
                    "" => "one value for all other kinds of room".into(),
                    kind => format!("each kind of room once, and {kind} is there twice"),
                });
            }
        }
        Ok(Self { others: found.unwrap_or(others), kinds })
    }
}

impl<T> From<T> for PerKind<T> {
    /// The same value for all.
    fn from(others: T) -> Self {
        Self { others, kinds: BTreeMap::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<PerKind<u32>, String> {
        PerKind::parse(text, 7, |value| value.parse().map_err(|_| "a number".into()))
    }

    #[test]
    fn a_plain_value_is_for_all_and_a_named_one_for_its_kind() {
        assert_eq!(parse("10"), Ok(10.into()));
        let found = parse("10, issue = 2,user=3").unwrap();
        assert_eq!([found.of("team"), found.of("issue"), found.of("user")], [&10, &2, &3]);
        assert_eq!(parse("issue=2,10"), parse("10,issue=2"));
    }

    #[test]
    fn kinds_alone_leave_the_others_as_they_are() {
        let found = parse("issue=2").unwrap();
        assert_eq!((found.of("issue"), found.of("team")), (&2, &7));
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_what_is_expected() {
        for wrong in ["", ",", "10,", "many", "issue=", "issue=many", "issue=2=3", "=2"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
        assert_eq!(parse("10,issue=x"), Err("a number, and others for kinds of room as kind=value".into()));
        assert_eq!(parse("1,2"), Err("one value for all other kinds of room".into()));
        assert_eq!(parse("issue=1,issue=2"), Err("each kind of room once, and issue is there twice".into()));
    }
}
