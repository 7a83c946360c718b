//! Licences: which ones a dependency may have.
//!
//! Owns the list and the reading of an expression (SPDX, with the older slash for "or").

/// Licences that ask for no more than naming the author, or for nothing.
const ALLOWED: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    // The root certificates of webpki-roots: data, not code.
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "Unicode-3.0",
    "Zlib",
];

/// Whether an expression can be met with allowed licences alone.
pub(super) fn is_allowed(expression: &str) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut reader = Reader { words: &words };
    // What cannot be read to its end is not understood, and so not allowed.
    reader.any() == Some(true) && reader.words.is_empty()
}

/// Each reading gives whether its part is allowed; `None` where there is none to read.
struct Reader<'a> {
    words: &'a [&'a str],
}

impl Reader<'_> {
    fn next(&mut self) -> Option<&str> {
        let (word, rest) = self.words.split_first()?;
        self.words = rest;
        Some(word)
    }

    fn takes(&mut self, wanted: &str) -> bool {
        let found = self.words.first() == Some(&wanted);
        if found {
            self.words = &self.words[1..];
        }
        found
    }

    fn any(&mut self) -> Option<bool> {
        let mut allowed = self.all()?;
        while self.takes("OR") {
            // Both sides must be read, whatever the first one says.
            allowed |= self.all()?;
        }
        Some(allowed)
    }

    fn all(&mut self) -> Option<bool> {
        let mut allowed = self.one()?;
        while self.takes("AND") {
            allowed &= self.one()?;
        }
        Some(allowed)
    }

    fn one(&mut self) -> Option<bool> {
        if self.takes("(") {
            let allowed = self.any();
            return if self.takes(")") { allowed } else { None };
        }
        let mut name = self.next()?.to_owned();
        if self.takes("WITH") {
            name = format!("{name} WITH {}", self.next()?);
        }
        Some(ALLOWED.contains(&name.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::is_allowed;

    #[test]
    fn one_allowed_choice_is_enough() {
        for expression in ["MIT", "MIT OR GPL-3.0", "GPL-3.0 OR MIT", "MIT/Unlicense", "Apache-2.0 WITH LLVM-exception"]
        {
            assert!(is_allowed(expression), "{expression}");
        }
    }

    #[test]
    fn what_must_be_met_together_must_be_allowed_together() {
        assert!(is_allowed("(MIT OR Apache-2.0) AND Unicode-3.0"));
        assert!(is_allowed("ISC AND (GPL-3.0 OR MIT) AND BSD-3-Clause"));
        assert!(!is_allowed("MIT AND GPL-3.0"));
        assert!(!is_allowed("(MIT AND GPL-3.0) OR AGPL-3.0"));
    }

    #[test]
    fn what_cannot_be_read_is_not_allowed() {
        for expression in ["", "GPL-3.0", "(MIT", "MIT)", "MIT MIT", "MIT OR", "MIT WITH", "MIT WITH some-exception"] {
            assert!(!is_allowed(expression), "{expression}");
        }
    }
}
