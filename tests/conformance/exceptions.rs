//! The cases of official suites that this program does not pass, each with its reason.

const COLLISION: &str = "EIP-7610: creation at an address with storage but neither nonce nor code, \
    which no transaction has made since EIP-161";
const PRICE: &str = "a price above 2^128 wei per gas, which no balance on any chain can pay";
const PREFIX: &str = "a key that is the beginning of another, which no trie of Ethereum has";
const CURSOR: &str = "asks for the keys beside a key, which our trie is never asked for";
const EIP1283: &str = "Constantinople without Petersburg, which no public chain ever ran";

/// What a case's name contains (`folder/file.json/test/fork/index`), and why it is excepted.
const EXCEPTIONS: &[(&str, &str)] = &[
    ("/InitCollision.json/", COLLISION),
    ("/InitCollisionParis.json/", COLLISION),
    ("/RevertInCreateInInit.json/", COLLISION),
    ("/RevertInCreateInInit_Paris.json/", COLLISION),
    ("/RevertInCreateInInitCreate2.json/", COLLISION),
    ("/RevertInCreateInInitCreate2Paris.json/", COLLISION),
    ("/create2collisionStorage.json/", COLLISION),
    ("/create2collisionStorageParis.json/", COLLISION),
    ("/dynamicAccountOverwriteEmpty.json/", COLLISION),
    ("/dynamicAccountOverwriteEmpty_Paris.json/", COLLISION),
    ("/init_collision_create_tx.json/", COLLISION),
    ("/init_collision_create_opcode.json/", COLLISION),
    ("/collision_selfdestruct.json/", COLLISION),
    ("ttEIP1559/GasLimitPriceProductOverflowtMinusOne.json/", PRICE),
    ("ttGasPrice/TransactionWithHighGasPrice.json/", PRICE),
    ("ttVValue/V_equals38.json/", PRICE),
    ("TrieTests/trieanyorder.json/dogs", PREFIX),
    ("TrieTests/trieanyorder.json/foo", PREFIX),
    ("TrieTests/trieanyorder.json/puppy", PREFIX),
    ("TrieTests/trieanyorder.json/smallValues", PREFIX),
    ("TrieTests/trieanyorder.json/testy", PREFIX),
    ("TrieTests/trietest.json/branch-value-update", PREFIX),
    ("TrieTests/trietest.json/emptyValues", PREFIX),
    ("TrieTests/trietest.json/insert-middle-leaf", PREFIX),
    ("TrieTests/trietestnextprev.json/", CURSOR),
    ("/Constantinople/", EIP1283),
];

/// Why a case may fail; `None` if it may not.
pub(crate) fn reason(name: &str) -> Option<&'static str> {
    EXCEPTIONS.iter().find(|(part, _)| name.contains(part)).map(|(_, reason)| *reason)
}
