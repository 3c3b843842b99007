//! `eth`: accounts, code, storage and proofs.

use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, U64, U256, hex};
use alloy_rpc_types_eth::{BlockId as Target, BlockNumberOrTag};
use jsonrpsee::core::RegisterMethodError;
use serde::Serialize;

use super::error::{RpcError, RpcResult};
use super::eth_accounts::code;
use super::table::{Api, Args, Table};
use super::target;

/// Most storage keys of one `eth_getProof`.
const MAX_PROOF_KEYS: usize = 1024;

pub(crate) fn register(table: &mut Table) -> Result<(), RegisterMethodError> {
    table.quick("eth_getBalance", |api, args| {
        let address = args.need(0, "address")?;
        let (_, state) = target::state(&*api.backend.chain(), args.option(1, "block")?)?;
        Ok(state.account(address)?.map_or(U256::ZERO, |account| account.balance))
    })?;
    table.quick("eth_getCode", |api, args| {
        let address = args.need(0, "address")?;
        let (_, state) = target::state(&*api.backend.chain(), args.option(1, "block")?)?;
        code(&*state, address)
    })?;
    table.quick("eth_getStorageAt", |api, args| {
        let address = args.need(0, "address")?;
        let (slot, _) = storage_key(&args.need::<String>(1, "storage key")?)?;
        let (_, state) = target::state(&*api.backend.chain(), args.option(2, "block")?)?;
        Ok(B256::from(state.slot(address, slot)?))
    })?;
    table.quick("eth_getTransactionCount", nonce)?;
    table.heavy("eth_getProof", |api, args, _| proof(api, args))
}

fn nonce(api: &Api, args: &Args) -> RpcResult<U64> {
    let address: Address = args.need(0, "address")?;
    let at: Option<Target> = args.option(1, "block")?;
    let (_, state) = target::state(&*api.backend.chain(), at)?;
    let nonce = state.account(address)?.map_or(0, |account| account.nonce);
    let pending = at == Some(Target::Number(BlockNumberOrTag::Pending));
    Ok(U64::from(if pending { api.backend.pending_nonce(address, nonce) } else { nonce }))
}

/// A storage key of up to 32 bytes, with or without leading zeros, and the form in which proofs
/// give it back: as a quantity, unless all 32 bytes were written out.
pub(crate) fn storage_key(text: &str) -> RpcResult<(U256, String)> {
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")).unwrap_or(text);
    if digits.len() > 64 {
        return Err(RpcError::params(format!(
            "storage key too long (want at most 32 bytes): {text:?}"
        )));
    }
    let padded = format!("{digits:0>64}");
    let word: [u8; 32] = hex::decode_to_array(&padded)
        .map_err(|_| RpcError::params(format!("invalid hex in storage key: {text:?}")))?;
    let slot = U256::from_be_bytes(word);
    let shown = if digits.len() == 64 { format!("0x{padded}") } else { format!("{slot:#x}") };
    Ok((slot, shown))
}

/// EIP-1186.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct ProofJson {
    address: Address,
    account_proof: Vec<Bytes>,
    balance: U256,
    code_hash: B256,
    nonce: U64,
    storage_hash: B256,
    storage_proof: Vec<SlotProof>,
}

#[derive(Debug, Clone, Serialize)]
struct SlotProof {
    key: String,
    value: U256,
    proof: Vec<Bytes>,
}

fn proof(api: &Api, args: &Args) -> RpcResult<ProofJson> {
    let address: Address = args.need(0, "address")?;
    let texts: Vec<String> = args.need(1, "storage keys")?;
    if texts.len() > MAX_PROOF_KEYS {
        return Err(RpcError::params(format!(
            "too many storage keys: have {}, most {MAX_PROOF_KEYS}",
            texts.len()
        )));
    }
    let keys = texts.iter().map(|text| storage_key(text)).collect::<RpcResult<Vec<_>>>()?;
    let slots: Vec<U256> = keys.iter().map(|(slot, _)| *slot).collect();
    let chain = api.backend.chain();
    let (number, _) = target::state(&*chain, args.option(2, "block")?)?;
    let proof = chain.prove(number, address, &slots)?.ok_or_else(RpcError::pruned)?;
    let account = proof.account.unwrap_or_default();
    Ok(ProofJson {
        address,
        account_proof: proof.account_proof,
        balance: account.balance,
        code_hash: account.bytecode_hash.unwrap_or(KECCAK256_EMPTY),
        nonce: U64::from(account.nonce),
        storage_hash: proof.storage_root,
        storage_proof: keys
            .into_iter()
            .zip(proof.slots)
            .map(|((_, key), (_, value, proof))| SlotProof { key, value, proof })
            .collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn storage_keys_of_any_length() {
        for (text, slot, shown) in [
            ("0x0", 0, "0x0"),
            ("0x1", 1, "0x1"),
            ("0x01", 1, "0x1"),
            ("10", 16, "0x10"),
            ("0x", 0, "0x0"),
        ] {
            assert_eq!(storage_key(text).unwrap(), (U256::from(slot), shown.to_owned()));
        }
        let whole = format!("0x{:064x}", 7);
        assert_eq!(storage_key(&whole).unwrap(), (U256::from(7), whole.clone()));
        assert!(storage_key(&format!("0x{:065x}", 7)).is_err());
        assert!(storage_key("0xzz").is_err());
    }
}
