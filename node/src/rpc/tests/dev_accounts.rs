//! Signing by the node: against vectors, and refused by a node that holds no keys.

use alloy_primitives::{Signature, hex, keccak256};
use alloy_signer_local::PrivateKeySigner;
use serde_json::{Value, json};

use super::wire::World;
use crate::rpc::RpcConfig;

/// The key of the example of EIP-712.
fn cow() -> PrivateKeySigner {
    PrivateKeySigner::from_bytes(&keccak256("cow")).unwrap()
}

/// The example of EIP-712.
fn mail() -> Value {
    let text = |name: &str| json!({ "name": name, "type": "string" });
    json!({
        "types": {
            "EIP712Domain": [
                text("name"), text("version"),
                { "name": "chainId", "type": "uint256" },
                { "name": "verifyingContract", "type": "address" },
            ],
            "Person": [text("name"), { "name": "wallet", "type": "address" }],
            "Mail": [
                { "name": "from", "type": "Person" },
                { "name": "to", "type": "Person" },
                text("contents"),
            ],
        },
        "primaryType": "Mail",
        "domain": {
            "name": "Ether Mail", "version": "1", "chainId": 1,
            "verifyingContract": "0xCcCCccccCCCCcCCCCCCcCcCccCcCCCcCcccccccC",
        },
        "message": {
            "from": { "name": "Cow", "wallet": "0xCD2a3d9F938E13CD947Ec05AbC7FE734Df8DD826" },
            "to": { "name": "Bob", "wallet": "0xbBbBBBBbbBBBbbbBbbBbbbbBBbBbbbbBbBbbBBbB" },
            "contents": "Hello, Bob!",
        },
    })
}

async fn world() -> World {
    World::new(RpcConfig { dev_accounts: vec![cow()], ..RpcConfig::default() }).await
}

#[tokio::test]
async fn typed_data_is_signed_as_the_eip_has_it() {
    let world = world().await;
    let expected = concat!(
        "0x4355c47d63924e8a72e509b65029052eb6c299d53a04e167c5775fd466751c9d",
        "07299936d304c153f6443dfa05f40ff007d72911b6f72307f996231605b915621c"
    );
    for method in ["eth_signTypedData_v4", "eth_signTypedData"] {
        for data in [mail(), mail().to_string().into()] {
            let signed = world.call(method, json!([cow().address(), data])).await;
            assert_eq!(signed, expected, "{method}");
        }
    }
    let mut wrong = mail();
    wrong["primaryType"] = "Letter".into();
    for data in [wrong, json!("{}"), json!(1)] {
        let answer = world.call("eth_signTypedData_v4", json!([cow().address(), data])).await;
        assert_eq!(answer["error"]["code"], -32602, "{answer}");
    }
}

#[tokio::test]
async fn messages_are_signed_with_their_prefix() {
    let world = world().await;
    assert_eq!(world.call("eth_accounts", json!([])).await, json!([cow().address()]));
    assert_eq!(world.call("personal_listAccounts", json!([])).await, json!([cow().address()]));
    let message = hex::encode_prefixed("hello");
    let signed = world.call("personal_sign", json!([message, cow().address(), "password"])).await;
    assert_eq!(world.call("eth_sign", json!([cow().address(), message])).await, signed);
    let bytes = hex::decode(signed.as_str().unwrap()).unwrap();
    let signature = Signature::from_raw(&bytes).unwrap();
    // The prefix of EIP-191, written out.
    let hash = keccak256(b"\x19Ethereum Signed Message:\n5hello");
    assert_eq!(signature.recover_address_from_prehash(&hash).unwrap(), cow().address());
    let who = world.call("personal_ecRecover", json!([message, signed])).await;
    assert_eq!(who, json!(cow().address()));
    let short = world.call("personal_ecRecover", json!([message, "0x01"])).await;
    assert_eq!(short["error"]["code"], -32602);
    let other = world.call("eth_sign", json!([super::wire::FRIEND, message])).await;
    assert_eq!(other["error"]["message"], "unknown account");
}

#[tokio::test]
async fn a_node_without_keys_says_what_to_do() {
    let world = World::new(RpcConfig::default()).await;
    assert_eq!(world.call("eth_accounts", json!([])).await, json!([]));
    let address = cow().address();
    for (method, params) in [
        ("eth_sendTransaction", json!([{ "from": address, "to": address }])),
        ("eth_signTransaction", json!([{ "from": address, "to": address }])),
        ("eth_sign", json!([address, "0x00"])),
        ("personal_sign", json!(["0x00", address])),
        ("eth_signTypedData_v4", json!([address, mail()])),
    ] {
        let answer = world.call(method, params).await;
        assert_eq!(answer["error"]["code"], -32004, "{method}: {answer}");
        let text = answer["error"]["message"].as_str().unwrap();
        assert!(text.contains("--dev-accounts"), "{text}");
    }
}
