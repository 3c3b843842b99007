//! State during one block: what was read from the snapshot, what changed since, and the difference.

use std::collections::BTreeMap;

use alloy_primitives::map::{AddressMap, B256Map, HashMap, hash_map::Entry};
use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, U256};
use causeway_chainspec::{Account, AccountDiff, StateDiff, StateError, StateReader};
use parking_lot::RwLock;
use revm::bytecode::Bytecode;
use revm::database_interface::DBErrorMarker;
use revm::state::{AccountInfo, EvmState};

/// Bytes of analysed code kept between blocks.
const CODE_CACHE_BYTES: usize = 64 << 20;

/// A [`StateError`] as revm wants it.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub(super) struct DbError(#[from] pub(super) StateError);

impl DBErrorMarker for DbError {}

/// Analysed code by hash, shared by all blocks and calls: finding jump destinations costs more
/// than reading the code. Emptied when full.
#[derive(Debug, Default)]
pub(super) struct CodeCache(RwLock<(usize, B256Map<Bytecode>)>);

impl CodeCache {
    fn get(&self, hash: B256) -> Option<Bytecode> {
        self.0.read().1.get(&hash).cloned()
    }

    fn insert(&self, hash: B256, code: &Bytecode) {
        let (bytes, codes) = &mut *self.0.write();
        if *bytes + code.len() > CODE_CACHE_BYTES {
            *bytes = 0;
            codes.clear();
        }
        if codes.insert(hash, code.clone()).is_none() {
            *bytes += code.len();
        }
    }
}

/// An account that was looked at.
struct Loaded {
    /// In the snapshot.
    before: Option<Account>,
    /// Now; `None` if it does not exist (EIP-161).
    now: Option<AccountInfo>,
    /// The snapshot's storage is not its own: it was created or destroyed since.
    fresh: bool,
    /// Slots that were read or written.
    slots: HashMap<U256, Slot>,
}

#[derive(Clone, Copy)]
struct Slot {
    before: U256,
    now: U256,
}

/// How the balances that a transaction touched moved, in wei, modulo 2^256.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Flow {
    /// Sum before.
    pub(super) before: U256,
    /// Sum after.
    pub(super) after: U256,
}

/// revm's database: a snapshot under the changes of the transactions committed so far. A
/// transaction that is not committed leaves nothing here but what it read.
pub(super) struct Db<'a> {
    reader: &'a dyn StateReader,
    codes: &'a CodeCache,
    overrides: BTreeMap<B256, Bytes>,
    accounts: AddressMap<Loaded>,
}

impl<'a> Db<'a> {
    pub(super) fn new(reader: &'a dyn StateReader, codes: &'a CodeCache) -> Self {
        Self { reader, codes, overrides: BTreeMap::new(), accounts: AddressMap::default() }
    }

    /// Lays a difference over the snapshot: accounts as they are in it, slots one by one unless
    /// the account is wiped.
    pub(super) fn overlay(&mut self, diff: &StateDiff) {
        self.overrides = diff.codes.clone();
        for (address, account) in &diff.accounts {
            let slot = |value: &U256| Slot { before: *value, now: *value };
            let loaded = Loaded {
                before: account.account,
                now: account.account.as_ref().map(info),
                fresh: account.wiped,
                slots: account.storage.iter().map(|(key, value)| (*key, slot(value))).collect(),
            };
            self.accounts.insert(*address, loaded);
        }
    }

    /// The account now.
    pub(super) fn account(&mut self, address: Address) -> Result<Option<&AccountInfo>, DbError> {
        Ok(self.load(address)?.now.as_ref())
    }

    /// Changes an account, which comes to exist, outside any transaction.
    pub(super) fn update(
        &mut self,
        address: Address,
        change: impl FnOnce(&mut AccountInfo),
    ) -> Result<(), StateError> {
        let loaded = self.load(address).map_err(|error| error.0)?;
        change(loaded.now.get_or_insert_default());
        Ok(())
    }

    fn load(&mut self, address: Address) -> Result<&mut Loaded, DbError> {
        match self.accounts.entry(address) {
            Entry::Occupied(entry) => Ok(entry.into_mut()),
            Entry::Vacant(entry) => {
                let before = self.reader.account(address)?;
                let now = before.as_ref().map(info);
                let fresh = before.is_none();
                Ok(entry.insert(Loaded { before, now, fresh, slots: HashMap::default() }))
            }
        }
    }

    /// Takes over what one transaction did, as its journal has it. Says how its balances moved.
    pub(super) fn commit(&mut self, changes: EvmState) -> Flow {
        let mut flow = Flow::default();
        for (address, account) in changes {
            if !account.is_touched() {
                continue;
            }
            let Some(loaded) = self.accounts.get_mut(&address) else {
                // The journal holds only what it loaded from here.
                debug_assert!(false, "{address} was never loaded");
                continue;
            };
            let balance = loaded.now.as_ref().map_or(U256::ZERO, |info| info.balance);
            flow.before = flow.before.wrapping_add(balance);
            // Before EIP-161 an empty account may exist: revm hands it over as created.
            let emptied = account.info.is_empty() && !account.is_created();
            let destroyed = account.is_selfdestructed() || emptied;
            if destroyed || account.is_created() {
                loaded.fresh = true;
                loaded.slots.clear();
            }
            if destroyed {
                loaded.now = None;
                continue;
            }
            flow.after = flow.after.wrapping_add(account.info.balance);
            loaded.now = Some(account.info);
            for (key, slot) in account.storage {
                if slot.is_changed() {
                    let before = slot.original_value;
                    let entry = loaded.slots.entry(key).or_insert(Slot { before, now: before });
                    entry.now = slot.present_value;
                }
            }
        }
        flow
    }

    fn code(&self, hash: B256) -> Result<Bytecode, DbError> {
        if let Some(code) = self.overrides.get(&hash) {
            return analyse(hash, code.clone());
        }
        if let Some(code) = self.codes.get(hash) {
            return Ok(code);
        }
        let bytes = self.reader.code(hash)?;
        let bytes = bytes.ok_or_else(|| StateError(format!("code {hash} is missing")))?;
        let code = analyse(hash, bytes)?;
        self.codes.insert(hash, &code);
        Ok(code)
    }

    /// What differs from the snapshot, and nothing that is as it was.
    pub(super) fn diff(&self) -> Result<StateDiff, crate::VmError> {
        let mut diff = StateDiff::default();
        for (address, loaded) in &self.accounts {
            let account = loaded.now.as_ref().map(account);
            let wiped = loaded.fresh && loaded.before.is_some();
            let storage: BTreeMap<U256, U256> = loaded
                .slots
                .iter()
                .filter(|(_, slot)| slot.now != if wiped { U256::ZERO } else { slot.before })
                .map(|(key, slot)| (*key, slot.now))
                .collect();
            let before = loaded.before.as_ref().map(normal);
            if account == before && !wiped && storage.is_empty() {
                continue;
            }
            let hash = |account: Option<Account>| account.and_then(|it| it.bytecode_hash);
            if let Some(hash) = hash(account).filter(|it| Some(*it) != hash(before)) {
                let code = loaded.now.as_ref().and_then(|info| info.code.as_ref());
                let code = code.ok_or_else(|| crate::VmError::Broken(format!("no code {hash}")))?;
                diff.codes.insert(hash, code.original_bytes());
            }
            diff.accounts.insert(*address, AccountDiff { account, wiped, storage });
        }
        Ok(diff)
    }
}

impl revm::Database for Db<'_> {
    type Error = DbError;

    fn basic(&mut self, address: Address) -> Result<Option<AccountInfo>, DbError> {
        Ok(self.load(address)?.now.clone())
    }

    fn code_by_hash(&mut self, hash: B256) -> Result<Bytecode, DbError> {
        self.code(hash)
    }

    fn storage(&mut self, address: Address, key: U256) -> Result<U256, DbError> {
        let reader = self.reader;
        let loaded = self.load(address)?;
        match loaded.slots.entry(key) {
            Entry::Occupied(entry) => Ok(entry.get().now),
            Entry::Vacant(_) if loaded.fresh => Ok(U256::ZERO),
            Entry::Vacant(entry) => {
                let value = reader.slot(address, key)?;
                entry.insert(Slot { before: value, now: value });
                Ok(value)
            }
        }
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, DbError> {
        Ok(self.reader.block_hash(number)?.unwrap_or_default())
    }
}

/// What is there, for whoever looks on: nothing is remembered of it.
impl revm::DatabaseRef for Db<'_> {
    type Error = DbError;

    fn basic_ref(&self, address: Address) -> Result<Option<AccountInfo>, DbError> {
        match self.accounts.get(&address) {
            Some(loaded) => Ok(loaded.now.clone()),
            None => Ok(self.reader.account(address)?.as_ref().map(info)),
        }
    }

    fn code_by_hash_ref(&self, hash: B256) -> Result<Bytecode, DbError> {
        self.code(hash)
    }

    fn storage_ref(&self, address: Address, key: U256) -> Result<U256, DbError> {
        match self.accounts.get(&address) {
            Some(loaded) => match loaded.slots.get(&key) {
                Some(slot) => Ok(slot.now),
                None if loaded.fresh => Ok(U256::ZERO),
                None => Ok(self.reader.slot(address, key)?),
            },
            None => Ok(self.reader.slot(address, key)?),
        }
    }

    fn block_hash_ref(&self, number: u64) -> Result<B256, DbError> {
        Ok(self.reader.block_hash(number)?.unwrap_or_default())
    }
}

fn analyse(hash: B256, bytes: Bytes) -> Result<Bytecode, DbError> {
    Bytecode::new_raw_checked(bytes)
        .map_err(|error| StateError(format!("code {hash} is damaged: {error}")).into())
}

/// An account as revm has it; code is read when it is needed.
fn info(account: &Account) -> AccountInfo {
    let hash = account.get_bytecode_hash();
    let code = (hash == KECCAK256_EMPTY).then(Bytecode::default);
    AccountInfo {
        balance: account.balance,
        nonce: account.nonce,
        code_hash: hash,
        code,
        ..Default::default()
    }
}

fn account(info: &AccountInfo) -> Account {
    normal(&Account {
        nonce: info.nonce,
        balance: info.balance,
        bytecode_hash: Some(info.code_hash),
    })
}

/// One spelling of "no code".
fn normal(account: &Account) -> Account {
    let bytecode_hash = account.bytecode_hash.filter(|hash| *hash != KECCAK256_EMPTY);
    Account { bytecode_hash, ..*account }
}
