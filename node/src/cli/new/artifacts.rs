//! Finds well-known contracts among the build artifacts of a package directory.

use std::path::{Path, PathBuf};

use alloy_primitives::{Address, Bytes, address};
use causeway_chainspec::spec::creation_code;
use eyre::WrapErr;

/// A contract that tools expect at one address on every chain.
struct Known {
    /// Name of the artifact file, without `.json`.
    artifact: &'static str,
    /// Version of the package it must come from; empty if any will do.
    version: &'static str,
    /// Its address everywhere.
    address: Address,
}

const fn known(artifact: &'static str, version: &'static str, address: Address) -> Known {
    Known { artifact, version, address }
}

/// Addresses as published by the projects themselves.
const KNOWN: &[Known] = &[
    known("Multicall3", "", address!("0xcA11bde05977b3631167028862bE2a173976CA11")),
    known("CreateX", "", address!("0xba5Ed099633D3B313e4D5F7bdc1305d3c28ba5Ed")),
    known("Permit2", "", address!("0x000000000022D473030F116dDEE9F6B43aC78BA3")),
    known("EntryPoint", "0.6", address!("0x5FF137D4b0FDCD49DcA30c7CF57E578a026d2789")),
    known("EntryPoint", "0.7", address!("0x0000000071727De22E5E9d8BAf0edAc6f37da032")),
    known("EntryPoint", "0.8", address!("0x4337084D9E255Ff0702461CF8895CE9E3b5Ff108")),
    known("EntryPoint", "0.9", address!("0x433709009B8330FDa32311DF1C2AFA402eD8D009")),
    known("Safe", "1.4.1", address!("0x41675C099F32341bf84BFc5382aF534df5C7461a")),
    known("SafeL2", "1.4.1", address!("0x29fcB43b46531BcA003ddC8FCB67FFE91900C762")),
    known("SafeProxyFactory", "1.4.1", address!("0x4e1DCf7AD4e460CfD30791CCC4F9c8a4f820ec67")),
    known("MultiSend", "1.4.1", address!("0x38869bf66a61cF6bDB996A6aE40D5853Fd43B526")),
    known("MultiSendCallOnly", "1.4.1", address!("0x9641d764fc13c8B624c04430C7356C1C7C8102e2")),
    known(
        "CompatibilityFallbackHandler",
        "1.4.1",
        address!("0xfd0732Dc9E303f09fCEf3a7388Ad10A83459Ec99"),
    ),
    known("GnosisSafe", "1.3.0", address!("0x69f4D1788e39c87893C980c06EdF4b7f686e2938")),
    known("GnosisSafeL2", "1.3.0", address!("0xfb1bffC9d739B8D520DaF37dF666da4C687191EA")),
    known(
        "GnosisSafeProxyFactory",
        "1.3.0",
        address!("0xC22834581EbC8527d974F8a1c97E1bEA4EF910BC"),
    ),
    known("MultiSend", "1.3.0", address!("0x998739BFdAAdde7C933B942a68053933098f9EDa")),
    known("MultiSendCallOnly", "1.3.0", address!("0xA1dabEF33b3B82c7814B6D82A79e50F4AC44102B")),
];

/// Deepest directory that is looked into.
const MAX_DEPTH: usize = 12;

/// A contract that was found.
pub(super) struct Found {
    /// Name and version, as `EntryPoint-0.8`.
    pub(super) name: String,
    /// Where it goes.
    pub(super) address: Address,
    /// Its creation code.
    pub(super) creation_code: Bytes,
}

/// Every known contract under `dir`, in the order of the table. The version of an artifact is
/// that of the nearest `package.json` above it. Interfaces and files of other forms are passed.
pub(super) fn find(dir: &Path) -> eyre::Result<Vec<Found>> {
    let mut files = Vec::new();
    let version = version_in(dir).unwrap_or_default();
    walk(dir, &version, 0, &mut files)
        .wrap_err_with(|| format!("cannot read {}", dir.display()))?;
    files.sort();
    let mut found = Vec::new();
    for known in KNOWN {
        let fits = |(file, version): &&(PathBuf, String)| {
            file.file_stem().is_some_and(|stem| stem == known.artifact)
                && is_version(version, known.version)
        };
        let code = files.iter().filter(fits).find_map(|(file, _)| {
            let content = std::fs::read(file).ok()?;
            creation_code(&content).ok()
        });
        if let Some(creation_code) = code {
            let dash = if known.version.is_empty() { "" } else { "-" };
            let name = format!("{}{dash}{}", known.artifact, known.version);
            found.push(Found { name, address: known.address, creation_code });
        }
    }
    Ok(found)
}

fn walk(
    dir: &Path,
    version: &str,
    depth: usize,
    files: &mut Vec<(PathBuf, String)>,
) -> std::io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let (path, kind) = (entry.path(), entry.file_type()?);
        if kind.is_dir() && depth < MAX_DEPTH {
            let version = version_in(&path).unwrap_or_else(|| version.to_owned());
            walk(&path, &version, depth + 1, files)?;
        } else if kind.is_file() && path.extension().is_some_and(|extension| extension == "json") {
            files.push((path, version.to_owned()));
        }
    }
    Ok(())
}

fn version_in(dir: &Path) -> Option<String> {
    let text = std::fs::read_to_string(dir.join("package.json")).ok()?;
    let json: serde_json::Value = serde_json::from_str(&text).ok()?;
    json["version"].as_str().map(str::to_owned)
}

/// Whether `version` is `wanted` or begins with it and a dot; nothing wanted takes all.
fn is_version(version: &str, wanted: &str) -> bool {
    let rest = version.strip_prefix(wanted);
    wanted.is_empty() || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_match_by_whole_parts() {
        assert!(is_version("0.8.0", "0.8") && is_version("1.4.1", "1.4.1") && is_version("", ""));
        assert!(!is_version("0.80.0", "0.8") && !is_version("", "0.8"));
    }

    #[test]
    fn no_address_is_there_twice() {
        let mut addresses: Vec<_> = KNOWN.iter().map(|known| known.address).collect();
        addresses.sort();
        addresses.dedup();
        assert_eq!(addresses.len(), KNOWN.len());
    }
}
