//! The tests of Ethereum's execution APIs: their chain, imported block by block, and every `.io` case
//! over HTTP, as hive's `rpc-compat` runs them; every answer held against their OpenRPC document.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use causeway_chainspec::ethereum::EthereumChain;
use causeway_node::clock::SystemClock;
use causeway_node::import::ImportedChain;
use causeway_node::rpc;
use causeway_tests::openrpc::OpenRpc;
use eyre::{WrapErr, bail, ensure, eyre};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::source::{File, Sources};
use crate::tally::Tally;

/// The blocks; everything else lies beside them.
const CHAIN: &str = "chain.rlp";
/// Says of a case that only the form of the answers counts.
const SPEC_ONLY: &str = "speconly:";
/// How long an answer may take.
const LIMIT: Duration = Duration::from_secs(20);

/// Runs the suite; all of it hangs on the chain.
pub(crate) fn run(file: &File, sources: &Sources) -> eyre::Result<Tally> {
    if file.path.file_name().is_none_or(|name| name != CHAIN) {
        return Ok(Tally::default());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let tally = runtime.block_on(serve_and_ask(file, sources));
    runtime.shutdown_timeout(Duration::from_secs(5));
    tally
}

async fn serve_and_ask(file: &File, sources: &Sources) -> eyre::Result<Tally> {
    let mut tally = Tally::default();
    let document = OpenRpc::parse(&String::from_utf8(sources.beside(file, "openrpc.json")?)?)?;
    let genesis = String::from_utf8(sources.beside(file, "genesis.json")?)?;
    let folder = tempfile::tempdir()?;
    let chain = import(&genesis, &file.read()?, folder.path(), &mut tally)?;
    let choice: Value = serde_json::from_slice(&sources.beside(file, "headfcu.json")?)?;
    tally.count(format!("{}/heads", file.name()), heads(&chain, &choice));

    let listener = TcpListener::bind("127.0.0.1:0")?;
    let stop = CancellationToken::new();
    let config = ImportedChain::rpc_config();
    let server = rpc::serve(listener, Arc::new(chain), config, stop.clone()).await?;
    let client = causeway_da::http::client(LIMIT, false)?;
    let url = format!("http://{}", server.local_addr);
    for case in sources.around(file).filter(|case| case.is("io")) {
        let text = String::from_utf8(case.read()?)?;
        let result = exchange(&client, &url, &document, &text).await;
        tally.count(format!("execution-apis/{}", case.name()), result);
    }
    stop.cancel();
    server.stopped().await;
    Ok(tally)
}

/// Imports the chain; one case a block, so that it is seen how far it comes.
fn import(
    genesis: &str,
    blocks: &[u8],
    folder: &std::path::Path,
    tally: &mut Tally,
) -> eyre::Result<ImportedChain> {
    let genesis = EthereumChain::parse(genesis)?;
    let open = || ImportedChain::open(folder.to_owned(), &genesis, 16 << 20, Arc::new(SystemClock));
    let chain = open()?;
    let done = chain.import(&mut &blocks[..], &mut |_, _| {})?;
    for number in 1..=chain.heads().latest.number {
        tally.count(format!("{CHAIN}/block/{number}"), Ok(()));
    }
    drop(chain);
    // Again, on what is there: nothing is executed twice, and nothing lost.
    let chain = open()?;
    let again = chain.import(&mut &blocks[..], &mut |_, _| {})?;
    let once = done.known == 0 && again.new == 0 && again.known == done.new;
    let result = if once { Ok(()) } else { Err(eyre!("{done:?}, then {again:?}")) };
    tally.count(format!("{CHAIN}/again"), result);
    Ok(chain)
}

/// The heads that the suite's consensus layer would set are those of an imported chain.
fn heads(chain: &ImportedChain, choice: &Value) -> eyre::Result<()> {
    let heads = chain.heads();
    for (name, head) in [
        ("headBlockHash", heads.latest),
        ("safeBlockHash", heads.safe),
        ("finalizedBlockHash", heads.finalized),
    ] {
        let wanted = choice["params"][0][name].as_str().unwrap_or_default();
        ensure!(head.hash.to_string() == wanted, "{name} is {}, not {wanted}", head.hash);
    }
    Ok(())
}

/// One case: requests and the answers they must get, in order.
async fn exchange(
    client: &reqwest::Client,
    url: &str,
    document: &OpenRpc,
    text: &str,
) -> eyre::Result<()> {
    let spec_only =
        text.lines().filter_map(|line| line.strip_prefix("//")).any(|it| it.contains(SPEC_ONLY));
    let mut asked: Option<(String, Value)> = None;
    let mut answers = 0;
    for line in text.lines() {
        if let Some(request) = line.strip_prefix(">>") {
            let body = request.trim().to_owned();
            let method: Value = serde_json::from_str(&body)?;
            let method = method["method"].as_str().unwrap_or_default().to_owned();
            let answer = client
                .post(url)
                .header("content-type", "application/json")
                .body(body)
                .send()
                .await
                .wrap_err("no answer")?
                .bytes()
                .await?;
            let answer = serde_json::from_slice(&answer).wrap_err("no JSON")?;
            asked = Some((method, answer));
        } else if let Some(wanted) = line.strip_prefix("<<") {
            let (method, answer) = asked.take().ok_or_else(|| eyre!("an answer to nothing"))?;
            document.check(&method, &answer)?;
            let wanted: Value = serde_json::from_str(wanted.trim())?;
            compare(&wanted, &answer, spec_only)?;
            answers += 1;
        }
    }
    ensure!(answers > 0 && asked.is_none(), "a request without an answer to compare");
    Ok(())
}

/// Texts of errors are each client's own. Where only the form counts, so is everything but whether it
/// is an error.
fn compare(wanted: &Value, answer: &Value, spec_only: bool) -> eyre::Result<()> {
    let redacted = |value: &Value| {
        let mut value = value.clone();
        if let Some(error) = value.get_mut("error").and_then(Value::as_object_mut) {
            error.remove("message");
        }
        value
    };
    if spec_only {
        let (want, have) = (wanted.get("error").is_some(), answer.get("error").is_some());
        ensure!(want == have, "wanted an error: {want}; the answer is {}", short(answer));
        return Ok(());
    }
    let (wanted, answer) = (redacted(wanted), redacted(answer));
    let mut found = BTreeMap::new();
    differences("", &wanted, &answer, &mut found);
    if found.is_empty() {
        return Ok(());
    }
    let told = found.iter().take(8).map(|(path, what)| format!("{path}: {what}"));
    bail!("{}", told.collect::<Vec<_>>().join("; "))
}

/// Where two values differ.
fn differences(path: &str, wanted: &Value, answer: &Value, found: &mut BTreeMap<String, String>) {
    match (wanted, answer) {
        (Value::Object(want), Value::Object(have)) => {
            for key in want.keys().chain(have.keys()) {
                let none = Value::String("(absent)".into());
                let (want, have) = (want.get(key).unwrap_or(&none), have.get(key).unwrap_or(&none));
                differences(&format!("{path}/{key}"), want, have, found);
            }
        }
        (Value::Array(want), Value::Array(have)) if want.len() == have.len() => {
            for (at, (want, have)) in want.iter().zip(have).enumerate() {
                differences(&format!("{path}/{at}"), want, have, found);
            }
        }
        _ if wanted == answer => {}
        _ => {
            let told = format!("wanted {}, got {}", short(wanted), short(answer));
            found.insert(path.to_owned(), told);
        }
    }
}

fn short(value: &Value) -> String {
    value.to_string().chars().take(160).collect()
}
