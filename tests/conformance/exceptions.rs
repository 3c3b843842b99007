//! The cases of official suites that this program does not pass, each with its reason.

/// What a case's name contains (`file.json/test/fork/index`), and why it is excepted.
const EXCEPTIONS: &[(&str, &str)] = &[];

/// Why a case may fail; `None` if it may not.
pub(crate) fn reason(name: &str) -> Option<&'static str> {
    EXCEPTIONS.iter().find(|(part, _)| name.contains(part)).map(|(_, reason)| *reason)
}
