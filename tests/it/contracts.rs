//! The committed contracts: what the pinned compiler makes of their source, laid out as the
//! protocol believes, and at one with Hyperlane's own contracts.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::{Path, PathBuf};

use alloy_primitives::{Address, B256, Bytes, U256, b256, keccak256};
use alloy_sol_types::{SolCall, SolEvent, SolValue, sol};
use causeway_bridge::l1;
use causeway_chainspec::l1::bridge::{BRIDGE_VERSION, PREDEPLOYS};
use causeway_chainspec::mailbox::{self, Coin, MAILBOX, layout, word_of};
use causeway_chainspec::{Message, Terms, merkle};
use causeway_tests::npm;
use eyre::{OptionExt, ensure};
use serde_json::Value;

use crate::mailbox::{Chain, ETHER, HERE, OTHER, THERE, USER, Views, message};

sol! {
    interface TestMerkleTreeHook {
        function insert(bytes32 id) external;
        function postDispatch(bytes metadata, bytes message) external payable;
        function root() external view returns (bytes32);
        function count() external view returns (uint32);
        function tree() external view returns (bytes32[32] branch, uint256 count);
        function latestCheckpoint() external view returns (bytes32 root, uint32 index);
    }
    interface TestMessage {
        function id(bytes message) external pure returns (bytes32);
        function nonce(bytes message) external pure returns (uint256);
        function origin(bytes message) external pure returns (uint32);
        function sender(bytes message) external pure returns (bytes32);
        function destination(bytes message) external pure returns (uint32);
        function recipient(bytes message) external pure returns (bytes32);
        function body(bytes message) external pure returns (bytes);
    }
    interface TestRecipient {
        function lastSender() external view returns (bytes32);
        function lastData() external view returns (bytes);
        event ReceivedMessage(uint32 indexed origin, bytes32 indexed sender, uint256 indexed value, string message);
    }
}

fn tests() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn facts() -> Value {
    let text = include_str!("../../chainspec/predeploys/Mailbox.json");
    serde_json::from_str(text).expect("the build writes JSON")
}

#[test]
fn the_committed_code_is_what_the_source_compiles_to() -> eyre::Result<()> {
    let folder = tests().join("../bridge/contracts");
    npm::install(&folder)?;
    npm::node(&folder, &["build.mjs", "--check"])?;
    Ok(())
}

#[test]
fn the_layout_is_the_one_that_the_protocol_shares() -> eyre::Result<()> {
    let facts = facts();
    let variables = facts["mailbox"]["storage"].as_array().ok_or_eyre("no storage layout")?;
    let found: Vec<_> = variables
        .iter()
        .map(|variable| {
            let text = |key: &str| variable[key].as_str().unwrap_or_default().to_owned();
            let number = |key: &str| variable[key].as_u64().unwrap_or(u64::MAX);
            (text("label"), number("slot"), number("offset"), number("bytes"), text("type"))
        })
        .collect();
    let slot = |slot: U256| slot.to::<u64>();
    let expected = [
        ("_localDomain", slot(layout::LOCAL_DOMAIN), 32, "uint256"),
        ("_nonce", slot(layout::NONCE), 32, "uint256"),
        ("_defaultTtl", slot(layout::TTL), 32, "uint256"),
        ("_coin", slot(layout::COIN), 32, "uint256"),
        ("_hubAsset", slot(layout::HUB_ASSET), 32, "bytes32"),
        ("_latestId", slot(layout::LATEST_ID), 32, "bytes32"),
        ("_lanes", layout::LANES, 32, "mapping(uint32 => uint256)"),
        ("_received", layout::RECEIVED, 32, "mapping(bytes32 => uint256)"),
        ("_tokens", layout::TOKENS, 32, "mapping(bytes32 => address)"),
        ("_treeCount", slot(layout::TREE_COUNT), 32, "uint256"),
        ("_branch", layout::BRANCH, 32 * 32, "bytes32[32]"),
    ];
    let expected: Vec<_> = expected
        .into_iter()
        .map(|(label, slot, bytes, kind)| (label.to_owned(), slot, 0, bytes, kind.to_owned()))
        .collect();
    ensure!(found == expected, "the contract has {found:#?}");
    Ok(())
}

/// `name(types)` of each entry of a kind, with which arguments of an event are indexed.
fn signatures(contract: &Value, kind: &str) -> BTreeMap<String, Vec<bool>> {
    let types = |entry: &Value| -> Vec<String> {
        let inputs = entry["inputs"].as_array();
        inputs.into_iter().flatten().map(kind_of).collect()
    };
    let entries = contract["abi"].as_array().into_iter().flatten();
    entries
        .filter(|entry| entry["type"] == kind)
        .map(|entry| {
            let name = entry["name"].as_str().unwrap_or_default();
            let inputs = entry["inputs"].as_array().into_iter().flatten();
            let indexed = inputs.map(|input| input["indexed"] == true).collect();
            (format!("{name}({})", types(entry).join(",")), indexed)
        })
        .collect()
}

fn kind_of(input: &Value) -> String {
    let kind = input["type"].as_str().unwrap_or_default();
    let Some(array) = kind.strip_prefix("tuple") else { return kind.to_owned() };
    let parts: Vec<_> = input["components"].as_array().into_iter().flatten().map(kind_of).collect();
    format!("({}){array}", parts.join(","))
}

#[test]
fn functions_and_events_are_those_that_the_protocol_speaks() {
    let facts = facts();
    let functions = signatures(&facts["mailbox"], "function");
    for signature in [
        mailbox::dispatchCall::SIGNATURE,
        mailbox::dispatchWithCall::SIGNATURE,
        mailbox::transferRemoteCall::SIGNATURE,
        mailbox::transferRemoteWithCall::SIGNATURE,
        mailbox::quoteDispatchCall::SIGNATURE,
        mailbox::quoteDispatchWithCall::SIGNATURE,
        mailbox::quoteTransferCall::SIGNATURE,
        mailbox::deliverCall::SIGNATURE,
        mailbox::refundCall::SIGNATURE,
    ] {
        assert!(functions.contains_key(signature), "no function {signature}");
    }
    // Selectors that other projects' tools call.
    let selectors: Vec<_> =
        functions.keys().map(|signature| keccak256(signature).0[..4].to_vec()).collect();
    for selector in [
        0xfa31_de01_u32, // dispatch, Hyperlane
        0x48ae_e8d4,
        0x10b8_3dc0,
        0x9c42_bd18, // quoteDispatch, Hyperlane and Caldera
        0x7c39_d130, // process
        0xe495_f1d4, // delivered
        0xab4f_36bc, // dispatch, Caldera
        0xe8dd_7ad7,
        0x00ab_e24b, // quoteDispatch, Caldera
        0x81b4_e8b4, // transferRemote
    ] {
        let bytes = selector.to_be_bytes().to_vec();
        assert!(selectors.contains(&bytes), "no function with selector {selector:08x}");
    }
    let events = signatures(&facts["mailbox"], "event");
    for (signature, indexed) in [
        (mailbox::Dispatch::SIGNATURE, &[true, true, true, false][..]),
        (mailbox::DispatchId::SIGNATURE, &[true]),
        (mailbox::DispatchTerms::SIGNATURE, &[true, false, false, false, false]),
        (mailbox::GasPayment::SIGNATURE, &[true, true, false, false]),
        (mailbox::InsertedIntoTree::SIGNATURE, &[false, false]),
        (mailbox::Process::SIGNATURE, &[true, true, true]),
        (mailbox::ProcessId::SIGNATURE, &[true]),
        (mailbox::SentTransferRemote::SIGNATURE, &[true, true, false]),
        (mailbox::ReceivedTransferRemote::SIGNATURE, &[true, true, false]),
    ] {
        assert_eq!(events.get(signature).map(Vec::as_slice), Some(indexed), "{signature}");
    }
}

#[test]
fn the_parents_contracts_speak_what_the_protocol_does() -> eyre::Result<()> {
    let facts: Value = serde_json::from_str(include_str!("../../bridge/src/l1/contracts.json"))?;
    let codes = [
        ("Portal", l1::PORTAL_CODE),
        ("SystemConfig", l1::SYSTEM_CONFIG_CODE),
        ("OutputOracle", l1::OUTPUT_ORACLE_CODE),
        ("CrossDomainMessenger", l1::MESSENGER_CODE),
        ("StandardBridge", l1::STANDARD_BRIDGE_CODE),
    ];
    for (name, code) in codes {
        assert_eq!(facts[name]["initCodeHash"], keccak256(code).to_string(), "{name}");
    }
    let spoken = [
        (
            "Portal",
            &[
                l1::depositTransactionCall::SIGNATURE,
                l1::forceTransactionCall::SIGNATURE,
                l1::forcedCall::SIGNATURE,
                l1::l2OracleCall::SIGNATURE,
                l1::maxGasCall::SIGNATURE,
                l1::minimumGasLimitCall::SIGNATURE,
                l1::versionCall::SIGNATURE,
            ][..],
        ),
        (
            "SystemConfig",
            &[
                l1::acceptOwnershipCall::SIGNATURE,
                l1::ownerCall::SIGNATURE,
                l1::pendingOwnerCall::SIGNATURE,
                l1::postersCall::SIGNATURE,
                l1::proposersCall::SIGNATURE,
                l1::sequencersCall::SIGNATURE,
                l1::setPostersCall::SIGNATURE,
                l1::setSequencersCall::SIGNATURE,
                l1::transferOwnershipCall::SIGNATURE,
                l1::versionCall::SIGNATURE,
            ],
        ),
        (
            "OutputOracle",
            &[
                l1::getL2OutputCall::SIGNATURE,
                l1::latestOutputIndexCall::SIGNATURE,
                l1::nextBlockNumberCall::SIGNATURE,
                l1::proposeL2OutputCall::SIGNATURE,
            ],
        ),
    ];
    for (name, functions) in spoken {
        let known = signatures(&facts[name], "function");
        for function in functions {
            assert!(known.contains_key(*function), "{name} has no {function}");
        }
    }
    let events = [
        ("Portal", l1::ForcedTransaction::SIGNATURE, &[true, true, false][..]),
        ("Portal", l1::TransactionDeposited::SIGNATURE, &[true, true, true, false]),
        ("SystemConfig", l1::ConfigUpdate::SIGNATURE, &[true, true, false]),
        ("SystemConfig", l1::OwnershipTransferStarted::SIGNATURE, &[true, true]),
        ("SystemConfig", l1::OwnershipTransferred::SIGNATURE, &[true, true]),
    ];
    for (name, event, indexed) in events {
        let known = signatures(&facts[name], "event");
        assert_eq!(known.get(event).map(Vec::as_slice), Some(indexed), "{name}: {event}");
    }
    // Coins come in by these alone; others would keep them for ever.
    let payable: Vec<String> = codes
        .iter()
        .flat_map(|(name, _)| facts[name]["abi"].as_array().cloned().unwrap_or_default())
        .filter(|entry| entry["stateMutability"] == "payable" && entry["type"] == "function")
        .map(|entry| entry["name"].as_str().unwrap_or_default().to_owned())
        .collect();
    let expected = [
        "depositTransaction",
        "donateETH",
        "relayMessage",
        "sendMessage",
        "bridgeETH",
        "bridgeETHTo",
        "depositETH",
        "depositETHTo",
        "finalizeBridgeETH",
        "finalizeETHWithdrawal",
    ];
    for name in &payable {
        assert!(expected.contains(&name.as_str()), "{name} takes coins");
    }
    Ok(())
}

/// Genesis writes slots of these contracts, and both their code and that of the parent's contracts are part
/// of what [`BRIDGE_VERSION`] names: count it up if this fails, and write the new hash.
#[test]
fn the_bridges_contracts_are_those_of_its_version() -> eyre::Result<()> {
    let facts: Value =
        serde_json::from_str(include_str!("../../chainspec/predeploys/bridge.json"))?;
    let slot = |contract: &str, label: &str| {
        let storage = facts[contract]["storage"].as_array().cloned().unwrap_or_default();
        let found = storage.iter().find(|variable| variable["label"] == label);
        found.and_then(|variable| variable["slot"].as_u64())
    };
    for (contract, label, expected) in [
        ("L2CrossDomainMessenger", "_counterpart", 0),
        ("L2StandardBridge", "_counterpart", 0),
        ("L2ToL1MessagePasser", "sentMessages", 0),
        ("L2ToL1MessagePasser", "_refusesCoins", 2),
        ("L1Block", "number", 0),
        ("L1Block", "hash", 2),
        ("L1Block", "sequenceNumber", 3),
    ] {
        assert_eq!(slot(contract, label), Some(expected), "{contract}.{label}");
    }
    let here = PREDEPLOYS.into_iter().flat_map(|(address, code)| [address.to_vec(), code.to_vec()]);
    let there = [l1::MESSENGER_CODE, l1::STANDARD_BRIDGE_CODE].map(<[u8]>::to_vec);
    let all: Vec<u8> = here.chain(there).flatten().collect();
    let expected = b256!("6782a2899b78cad153b1dc14d547cd3e1113dc08a1a72dc7e50492d3697d6a9a");
    assert_eq!((BRIDGE_VERSION, keccak256(all)), (1, expected));
    Ok(())
}

/// Hyperlane's contracts by name, as creation code.
fn hyperlane() -> eyre::Result<BTreeMap<String, Bytes>> {
    let folder: PathBuf = tests().join("e2e");
    npm::install(&folder)?;
    Ok(serde_json::from_str(&npm::node(&folder, &["hyperlane.mjs"])?)?)
}

fn create(chain: &mut Chain, code: &Bytes, arguments: &[u8]) -> Address {
    chain.create([code, arguments].concat())
}

/// The protocol's tree, as its module writes it when a block ends.
fn insert(chain: &mut Chain, tree: &mut (u32, [B256; 32]), id: B256) {
    let (count, branch) = tree;
    let known = *branch;
    let Ok((height, node)) =
        merkle::insert(*count, id, |height| Ok::<_, Infallible>(known[height]));
    branch[height] = node;
    *count += 1;
    chain.set(layout::TREE_COUNT, U256::from(*count));
    for (at, node) in branch.iter().enumerate() {
        chain.set(U256::from(layout::BRANCH + at as u64), (*node).into());
    }
}

#[test]
fn ids_and_tree_equal_hyperlanes() -> eyre::Result<()> {
    let codes = hyperlane()?;
    let mut chain = Chain::new(Coin::Own);
    // The hook trusts our Mailbox: it asks for its domain, and for the message sent last.
    let hook = create(&mut chain, &codes["TestMerkleTreeHook"], &MAILBOX.abi_encode());
    let reader = create(&mut chain, &codes["TestMessage"], &[]);
    let mut tree = (0, [B256::ZERO; 32]);
    for round in 0..21_u8 {
        let root = chain.ask(MAILBOX, &Views::rootCall {});
        assert_eq!(root, chain.ask(hook, &TestMerkleTreeHook::rootCall {}), "root of {round}");
        let count = chain.ask(MAILBOX, &Views::countCall {});
        assert_eq!(count, chain.ask(hook, &TestMerkleTreeHook::countCall {}));
        let call = mailbox::dispatchCall {
            destinationDomain: THERE,
            recipientAddress: keccak256([round]),
            messageBody: vec![round; 40 * usize::from(round)].into(),
        };
        let done = chain.send(if round % 2 == 0 { USER } else { OTHER }, ETHER, &call);
        let [sent] = &done.outbox[..] else { panic!("{done:?}") };
        let message: Bytes = sent.encode_packed().into();
        let id = chain.ask(reader, &TestMessage::idCall { message: message.clone() });
        assert_eq!((id, done.output), (sent.id(), Bytes::from(id.to_vec())));
        parts_agree(&chain, reader, sent);
        // Hyperlane's own way in, which refuses what was not sent just now.
        let call = TestMerkleTreeHook::postDispatchCall { metadata: Bytes::new(), message };
        let taken = chain.run(USER, hook.into(), 0, 1_000_000, call.abi_encode().into());
        ensure!(taken.success, "{taken:?}");
        let (theirs, ours) = (&taken.logs[0].data, &done.logs[3].data);
        assert_eq!(theirs, ours, "InsertedIntoTree");
        insert(&mut chain, &mut tree, id);
    }
    let ours = chain.ask(MAILBOX, &Views::treeCall {});
    let theirs = chain.ask(hook, &TestMerkleTreeHook::treeCall {});
    assert_eq!((ours.branch, ours.count), (theirs.branch, theirs.count));
    let ours = chain.ask(MAILBOX, &Views::latestCheckpointCall {});
    let theirs = chain.ask(hook, &TestMerkleTreeHook::latestCheckpointCall {});
    assert_eq!((ours.root, ours.index), (theirs.root, theirs.index));
    assert_eq!(ours.index, 20);
    Ok(())
}

/// Hyperlane's reader finds in a message what the protocol finds.
fn parts_agree(chain: &Chain, reader: Address, sent: &Message) {
    let message: Bytes = sent.encode_packed().into();
    let ask = |call: TestMessage::nonceCall| chain.ask(reader, &call);
    assert_eq!(ask(TestMessage::nonceCall { message: message.clone() }), U256::from(sent.nonce));
    let call = TestMessage::originCall { message: message.clone() };
    assert_eq!(chain.ask(reader, &call), HERE);
    let call = TestMessage::senderCall { message: message.clone() };
    assert_eq!(chain.ask(reader, &call), sent.sender);
    let call = TestMessage::destinationCall { message: message.clone() };
    assert_eq!(chain.ask(reader, &call), THERE);
    let call = TestMessage::recipientCall { message: message.clone() };
    assert_eq!(chain.ask(reader, &call), sent.recipient);
    let call = TestMessage::bodyCall { message: message.clone() };
    assert_eq!(chain.ask(reader, &call), sent.body);
    let terms = Terms::default();
    let again = Message::decode_packed(&message, terms).map(|read| read.id());
    assert_eq!(again, Some(sent.id()));
}

#[test]
fn hyperlanes_test_recipient_receives_unmodified() -> eyre::Result<()> {
    let codes = hyperlane()?;
    let mut chain = Chain::new(Coin::Own);
    let recipient = create(&mut chain, &codes["TestRecipient"], &[]);
    for (nonce, text) in ["first", "a second message, longer than one word of thirty-two bytes"]
        .into_iter()
        .enumerate()
    {
        let message = message(nonce as u32, word_of(recipient), text.as_bytes());
        let (status, used, done) = chain.deliver(&message);
        ensure!(status == 1 && used > 0, "{done:?}");
        let got = TestRecipient::ReceivedMessage::decode_log(&done.logs[0])?;
        assert_eq!((got.origin, got.sender), (THERE, message.sender));
        assert_eq!((got.value, got.message.as_str()), (U256::ZERO, text));
        let sender = chain.ask(recipient, &TestRecipient::lastSenderCall {});
        assert_eq!(sender, message.sender);
        let data = chain.ask(recipient, &TestRecipient::lastDataCall {});
        assert_eq!(data, message.body);
        assert!(chain.ask(MAILBOX, &Views::deliveredCall { id: message.id() }));
    }
    Ok(())
}
