//! Chromium, installed when it is needed.

use std::path::Path;
use std::process::Command;

use eyre::{WrapErr, ensure};

/// Where Debian's package puts it; the scenarios look there, too.
const CHROMIUM: &str = "/usr/bin/chromium";

/// Installs Chromium with apt unless it is there; that needs root.
pub fn install() -> eyre::Result<()> {
    if Path::new(CHROMIUM).exists() {
        return Ok(());
    }
    let advice = "Chromium is needed for this test: apt-get install chromium";
    ensure!(rustix::process::geteuid().is_root(), advice);
    for arguments in
        [&["update", "-q"][..], &["install", "-qy", "--no-install-recommends", "chromium"]]
    {
        let status = Command::new("apt-get")
            .args(arguments)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .status()
            .wrap_err(advice)?;
        ensure!(status.success(), "apt-get {} ended with {status}", arguments.join(" "));
    }
    Ok(())
}
