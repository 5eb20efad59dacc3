//! What a look at a backend found, for an operator.

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Whether it is well.
    pub is_well: bool,
    /// What was found, and where it is not well what to do.
    pub text: String,
}

impl Finding {
    /// All is well.
    pub fn well(text: impl Into<String>) -> Self {
        Self { is_well: true, text: text.into() }
    }

    /// Something is wrong.
    pub fn wrong(text: impl Into<String>) -> Self {
        Self { is_well: false, text: text.into() }
    }
}
