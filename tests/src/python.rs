//! Pinned Python packages of a folder, in a virtual environment beside the build.

use std::path::{Path, PathBuf};
use std::process::Command;

use eyre::{ContextCompat, WrapErr, ensure};

/// A virtual environment with the packages of a folder's `requirements.txt`; made again if that file
/// is another than the one it was made from.
pub fn environment(folder: &Path) -> eyre::Result<PathBuf> {
    // target/<profile>/deps/it-... -> target/web3py
    let test = std::env::current_exe()?;
    let target = test.ancestors().nth(3).context("a test lies in a target directory")?;
    let name = folder.file_name().context("a folder has a name")?;
    let home = target.join("python").join(name);
    let (wanted, made) = (folder.join("requirements.txt"), home.join("requirements.txt"));
    let text = std::fs::read(&wanted)?;
    if std::fs::read(&made).is_ok_and(|made| made == text) {
        return Ok(home);
    }
    if home.exists() {
        std::fs::remove_dir_all(&home)?;
    }
    std::fs::create_dir_all(&home)?;
    run(Command::new("python3").args(["-m", "venv"]).arg(&home))?;
    let pip = ["install", "--quiet", "--disable-pip-version-check", "-r"];
    run(Command::new(home.join("bin/pip")).args(pip).arg(&wanted))?;
    std::fs::write(made, text)?;
    Ok(home)
}

fn run(command: &mut Command) -> eyre::Result<()> {
    let what = format!("{command:?}");
    let output = command
        .output()
        .wrap_err_with(|| format!("{what}: Python 3.10 with venv is needed for this test"))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{what} ended with {}:\n{errors}", output.status);
    Ok(())
}
