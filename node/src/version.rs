//! What this program calls itself.

/// Version of the program.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// As nodes tell it: `causeway/v0.1.0-abcdef12/linux-x86_64/rustc1.95.0`. The commit is there if
/// `CAUSEWAY_COMMIT` was set when it was built.
pub fn client() -> String {
    let commit = option_env!("CAUSEWAY_COMMIT").map(|commit| format!("-{commit}"));
    format!(
        "causeway/v{VERSION}{}/{}-{}/rustc{}",
        commit.unwrap_or_default(),
        std::env::consts::OS,
        std::env::consts::ARCH,
        env!("CAUSEWAY_RUSTC"),
    )
}
